"""The base of every message on the tape."""

import re
from functools import lru_cache
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

Text = Annotated[str, Meta(max_length=512)]
"""Free text: bounded, because it ends up in logs, rows and terminals."""
Name = Annotated[str, Meta(min_length=1, max_length=120)]
"""An identifier: instrument, market, order, strategy."""

_SPECIAL = re.compile(r"[\x00-\x20\x7f.*>%]")


class Message(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """An immutable fact, proposal, decision or command.

    ``kind`` is the first two tokens of the subject: producer and noun. ``key`` gives the rest.
    Fields that have their default value are left out of the payload, so adding a field with a default
    changes no old byte. Unknown fields are ignored: a newer producer does not stop an older reader.
    """

    kind: ClassVar[str]

    def key(self) -> tuple[str, ...]:
        """The subject's tokens after ``kind``; empty when the subject is ``kind`` alone."""
        return ()

    def subject(self) -> str:
        """The subject this message is published on."""
        return ".".join((self.kind, *self.key()))


@lru_cache(maxsize=4096)
def token(text: str) -> str:
    """Escape one subject token: ``.``, ``*``, ``>``, ``%``, blanks and control characters become ``%XX``.

    Venue names may hold a dot (``FED-23DEC-T3.00``), which would split a subject; the broker refuses
    blanks and control characters.
    """
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", text)
