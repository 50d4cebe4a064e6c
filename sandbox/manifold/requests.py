"""Bodies of Manifold's requests that change something."""

from typing import Annotated

from msgspec import Meta, Struct


class NewBet(Struct, rename="camel", frozen=True):
    """The body of POST /bet."""

    contract_id: str
    amount: Annotated[float, Meta(ge=1e-6, le=1e9)]
    outcome: str = "YES"
    limit_prob: Annotated[float, Meta(ge=0.01, le=0.99)] | None = None
    expires_at: int | None = None
    expires_millis_after: Annotated[int, Meta(ge=1)] | None = None
    answer_id: str | None = None
    dry_run: bool = False


class Sale(Struct, frozen=True):
    """The body of POST /market/{id}/sell; without shares everything is sold."""

    outcome: str = ""
    shares: float | None = None


class Resolution(Struct, rename="camel", frozen=True):
    """The body of POST /market/{id}/resolve."""

    outcome: str
    probability_int: Annotated[int, Meta(ge=0, le=100)] | None = None
