"""The tables of ``docs/reference/configuration.md``, from the models of the sections and of the environment.

The page is written by hand around them; each table stands between two comments that name it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from libs.changes.limits import ChangeLimits
from libs.config.environment import ChildEnvironment, Environment, Variables
from libs.config.schema_words import keys_in_words
from libs.config.section import Section
from services.advisor.params import AdvisorParams
from services.feed.news.params import NewsParams
from services.journal.params import ArchiveParams
from services.monitor.notify.params import NotifyParams
from tools.system.composition import ADVISOR, ARCHIVE, EVALUATION, NEWS, NOTIFY, models, venue_models

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path("docs/reference/configuration.md")


def render_configuration() -> str:
    """The page with its tables as the models have them."""
    made = {
        "sections": _sections(),
        "environment": _variables(Environment),
        "children": _variables(ChildEnvironment),
    }
    parts = re.split(r"(<!-- generated: \w+ -->\n|<!-- end -->\n)", (ROOT / PAGE).read_text())
    for index, part in enumerate(parts):
        if found := re.match(r"<!-- generated: (\w+) -->", part):
            parts[index + 1] = "\n".join(["", *made[found[1]], "", ""])
    return "".join(parts)


def _sections() -> Iterator[str]:
    for name, model in (
        models()
        | {
            EVALUATION: ChangeLimits,
            ARCHIVE: ArchiveParams,
            ADVISOR: AdvisorParams,
            NEWS: NewsParams,
            NOTIFY: NotifyParams,
        }
        | venue_models()
    ).items():
        path = name.replace(".", "/")
        yield f"### `{name}`"
        yield ""
        yield (
            " ".join((model.__doc__ or "").partition("\n\n")[0].split()).replace("``", "`")
            + f" File: `config/{path}.yaml`."
        )
        yield ""
        yield from _keys(model)
        yield ""


def _keys(model: type[Section]) -> Iterator[str]:
    yield "| Key | Value | Default | |"
    yield "|---|---|---|---|"
    for words in keys_in_words(model):
        yield f"| `{words.key}` | {words.takes} | {words.default} | {words.about} |"


def _variables(kind: type[Variables]) -> Iterator[str]:
    yield "| Variable | |"
    yield "|---|---|"
    yield from (f"| `{name}` | {about} |" for name, about in kind.variables().items())
