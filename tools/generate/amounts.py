"""``services/console/amounts.json``: which settings are amounts, for a process that knows no other service's models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from libs.changes.limits import ChangeLimits
from libs.config.section import Section
from libs.config.wanted import Wanted
from services.feed.news.params import NewsParams
from services.journal.params import ArchiveParams
from services.signal.discovery import BUILT_IN
from tools.system.composition import ARCHIVE, EVALUATION, NEWS, advisor_models, models, venue_models

PAGE = Path("services/console/amounts.json")
ANY = "*"
"""A key that the operator chooses, or a place in a list."""


def render_amounts() -> str:
    """Section → the paths in it that are amounts, as text."""
    known: dict[str, type[Section]] = {
        **models(list(BUILT_IN)),
        EVALUATION: ChangeLimits,
        ARCHIVE: ArchiveParams,
        NEWS: NewsParams,
        **advisor_models(),
        **venue_models(),
    }
    found = {name: sorted(_amounts(Wanted(model), "")) for name, model in sorted(known.items())}
    return json.dumps({name: paths for name, paths in found.items() if paths}, indent=1) + "\n"


def _amounts(wanted: Wanted, path: str) -> Iterator[str]:
    if wanted.is_amount:
        yield path
    elif wanted.model is not None:
        for key in wanted.model.model_fields:
            yield from _amounts(wanted.below(key), f"{path}.{key}" if path else key)
    elif get_origin(wanted.kind) is dict or _is_list(wanted.kind):
        yield from _amounts(wanted.below(0), f"{path}.{ANY}")


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list or (get_origin(kind) is tuple and get_args(kind)[-1:] == (...,))
