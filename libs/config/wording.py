"""Text of a certain form, and how to say what form that is.

A parameter says it with ``Annotated[str, Meta(pattern=…, extra={"form": "the beginning of a slug (…)"})]``.
"""

import re

import msgspec.inspect as mi

from libs.config.errors import RefusedValueError

SHOWN_CHARACTERS_MAX = 60
"""No private key of any venue is that short."""


def form_of(wanted: mi.Type) -> str:
    """How a parameter's form is said; empty when it has none."""
    while isinstance(wanted, mi.Metadata):
        if form := (wanted.extra or {}).get("form", ""):
            return str(form)
        wanted = wanted.type
    return ""


def refuse_other_form(text: str, form: str, wanted: mi.StrType, where: str) -> None:
    """Refuse text without the form its parameter has.

    Raises:
        RefusedValueError: it shows the text, unless that could hold a password or a key.
    """
    fits = wanted.pattern is None or re.search(wanted.pattern, text)
    if fits and len(text) <= (wanted.max_length if wanted.max_length is not None else len(text)):
        return
    hidden = "@" in text or len(text) > SHOWN_CHARACTERS_MAX
    raise RefusedValueError(f"{where}: expected {form}, was {'something else' if hidden else repr(text)}")
