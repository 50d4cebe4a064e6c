"""What the sections of a configuration are made of: frozen pydantic models with exact numbers.

Machines import this module, so it computes and nothing else; files are read in ``libs/config/load.py``.
"""

import hashlib
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from proto.units import MILLIONTHS

FORM_KEY = "form"
"""Where a schema says in words what form a text has: nobody should be shown a regular expression."""


class Section(BaseModel):
    """Base of a section's model: one field a key, each with a default or required.

    Stored tapes may hold keys by their former names (``setting(…, former=…)``): a section taken from a tape
    is read by either, a file only by today's.

    ``changeable`` names the keys that may get another value while machines run, by a change that an operator accepted.
    No limit, and nothing that decides about money, modes or keys is ever among them.

    ``skipping``: key of a list → key that takes the texts of its entries that a file has wrong. These are left out, so
    that one slip of the pen does not take the others away; of every other key a mistake refuses the file.

    ``order``: keys as stored tapes have them, where they come in another order by inheritance.
    """

    changeable: ClassVar[frozenset[str]] = frozenset()
    order: ClassVar[tuple[str, ...]] = ()
    skipping: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        loc_by_alias=False,
        hide_input_in_errors=True,
    )

    def document(self) -> dict[str, Any]:
        """Return every key and its value as plain data, ready for the tape."""
        document = self.model_dump(mode="json", by_alias=False)
        return {key: document[key] for key in self.order} | document


HASH_DIGITS = 16
"""Of a section: two versions that an operator may mix up are told apart, and a person can compare it."""


def section_hash(document: Mapping[str, Any]) -> str:
    """What names one version of a resolved section: the first digits of the SHA-256 of its JSON, keys in order.

    ``document`` is what ``Section.document`` returns: every key by its name of today.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


AnySection = TypeVar("AnySection", bound=Section)


def quick_to_read(section: AnySection) -> AnySection:
    """The same values by the same names, for whoever reads them thirty times a decision.

    A model's fields are found by a hook of pydantic's, which takes five times as long.
    """
    return cast("AnySection", SimpleNamespace(**section.__dict__))


def setting(default: Any, description: str, *, former: str | None = None) -> Any:
    """Declare a key with its default, what it means, and the name that stored tapes may know it by."""
    return Field(default=default, description=description, validation_alias=former)


def another_default(section: type[Section], key: str, default: Any) -> Any:
    """Declare a key of a section again for one made of it, with another default."""
    field = section.model_fields[key]
    former = field.validation_alias
    return setting(default, field.description or "", former=former if isinstance(former, str) else None)


def amount(low: int, high: int) -> Any:
    """Annotate an integer of millionths within bounds; a file writes it with a decimal point."""
    return Field(strict=True, ge=low, le=high, json_schema_extra=MILLIONTHS)


def whole(low: int, high: int) -> Any:
    """Annotate a whole number within bounds: a count, seconds."""
    return Field(strict=True, ge=low, le=high)


def text(pattern: str, form: str, length_max: int | None = None) -> Any:
    """Annotate text of a certain form; ``form`` says in words what the pattern (of Rust's regex) means."""
    return Field(pattern=pattern, max_length=length_max, json_schema_extra={FORM_KEY: form})
