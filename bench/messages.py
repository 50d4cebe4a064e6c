"""Typed messages: msgspec against pydantic, one Quote encoded, decoded and validated."""

from collections.abc import Sequence
from pathlib import Path
from timeit import Timer

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from bench.feed_to_tape import quote
from bench.result import Figure, Tell
from libs.contract.codec import encode
from proto.feed import Quote
from proto.units import AMOUNT_MAX

COUNT = 20_000
ROUNDS = 5


class PydanticQuote(BaseModel):
    """The same fields with the same bounds."""

    model_config = ConfigDict(frozen=True)

    instrument: str = Field(min_length=1, max_length=120)
    at: int = Field(ge=0)
    counter: int
    bid: int | None = Field(default=None, ge=0, le=AMOUNT_MAX)
    bid_size: int = Field(default=0, ge=0, le=AMOUNT_MAX)
    ask: int | None = Field(default=None, ge=0, le=AMOUNT_MAX)
    ask_size: int = Field(default=0, ge=0, le=AMOUNT_MAX)


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """Microseconds for one message, best of a few rounds."""
    tell("one Quote, both ways")
    mine = quote(1)
    payload = encode(mine)
    theirs = PydanticQuote(**msgspec.to_builtins(mine))
    text = theirs.model_dump_json(exclude_defaults=True).encode()
    decoder = msgspec.msgpack.Decoder(Quote)
    work = {
        "msgspec msgpack encode": lambda: encode(mine),
        "msgspec msgpack decode": lambda: decoder.decode(payload),
        "pydantic JSON encode": lambda: theirs.model_dump_json(exclude_defaults=True),
        "pydantic JSON decode": lambda: PydanticQuote.model_validate_json(text),
    }
    return [
        Figure(f"typed messages: {name}", min(Timer(call).repeat(ROUNDS, COUNT)) / COUNT * 1e6, "µs")
        for name, call in work.items()
    ]
