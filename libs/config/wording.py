"""What a model refuses, in the words of whoever wrote the file: "expected …, was …"."""

import difflib
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from libs.bounded import clip, cut
from libs.config.document import DECIMAL, INTEGER, Document, choices_of
from libs.config.wanted import Path, Wanted
from proto.units import UnitError, parse, show

SHOWN_CHARACTERS_MAX = 60
"""No private key of any venue is that short."""
SHOWN_NUMBER_CHARACTERS_MAX = 40

_NAMES: dict[Any, str] = {
    int: "a number",
    float: "a plain number",
    bool: "true or false",
    str: "text",
    tuple: "a list",
    list: "a list",
    dict: "a mapping",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


def add_problems(document: Document, error: ValidationError, wanted: Wanted) -> None:
    """Add a problem for everything that a model refused, unless reading the value was refused before."""
    for details in error.errors(include_url=False):
        loc = details["loc"]
        if not document.is_refused(loc):
            document.refuse(loc, _text(details, document, wanted, loc))


def _text(details: ErrorDetails, document: Document, wanted: Wanted, loc: Path) -> str:
    """Word one error."""
    kind, found, context = details["type"], details["input"], details.get("ctx", {})
    here = _walk(wanted, loc)
    written = document.texts.get(loc)
    if kind == "extra_forbidden":
        return unknown_key(str(loc[-1]), _walk(wanted, loc[:-1]))
    if kind == "missing":
        return "expected a value, was none"
    if kind == "value_error":
        return str(context["error"])
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        write = show if here.is_amount else str
        return f"expected {words} {write(context[name])}, was {written or write(found)}"
    if kind.startswith("string_") and kind != "string_type":
        is_hidden = "@" in str(found) or len(str(found)) > SHOWN_CHARACTERS_MAX
        wording = here.form or details["msg"].removeprefix("String should ")
        return f"expected {wording}, was {'something else' if is_hidden else repr(found)}"
    if here.kind is int and written is not None:
        return _integer_text(written, here)
    return f"expected {_name(here, details)}, was {_shown(found)}"


def unknown_key(key: str, holder: Wanted) -> str:
    """Word a key that no model has, with the nearest one that exists."""
    known = [] if holder.model is None else list(holder.model.model_fields)
    near = difflib.get_close_matches(key, known, n=1)
    return f"expected a known key, was {clip(key, 60)!r}{f'; did you mean {near[0]}?' if near else ''}"


def _walk(wanted: Wanted, path: Path) -> Wanted:
    for key in path:
        wanted = wanted.below(key)
    return wanted


def _integer_text(written: str, here: Wanted) -> str:
    """Word why a text is not the number that is wanted."""
    shown = repr(clip(written, SHOWN_NUMBER_CHARACTERS_MAX))
    if here.is_amount and DECIMAL.match(written):
        try:
            parse(written)
        except UnitError as e:
            return str(e)
    if here.is_amount and INTEGER.match(written):
        in_millionths = f" (or {show(int(written))} for that many millionths)" if len(written) < 20 else ""
        return (
            f"expected an amount with a decimal point, was {shown}: write {cut(written, 20)}.0{in_millionths}"
        )
    return f"expected {'a whole number' if DECIMAL.match(written) else 'a number'}, was {shown}"


def _name(here: Wanted, details: ErrorDetails) -> str:
    """Name what a value should have been."""
    if choices := choices_of(here.kind):
        return f"one of {', '.join(map(str, choices))}"
    if here.model is not None:
        return "a mapping"
    return _NAMES.get(get_origin(here.kind) or here.kind) or details["msg"].removeprefix("Input should be ")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return clip(repr(value), SHOWN_NUMBER_CHARACTERS_MAX)
