"""``docs/reference/terms.md``: the glossary, from the table that the screen's words come from."""

from collections.abc import Iterator
from pathlib import Path

from libs.view.terms import TERMS

PAGE = Path("docs/reference/terms.md")
_HEAD = """<!-- made by `make generate` from libs/view/terms.py -->

# Terms

One word for one thing: in the live view, in every command, in alerts, in the views of the journal and in these documents.
On screen money has its sign, prices and quantities have none; in JSON all of them are in millionths, and in the summary of
`up` and in the journal's views in whole dollars and contracts. Times on screen are in your zone (`PRESAGE_TIME_ZONE`, else
the system's), with UTC in brackets (`12:03:59Z`) where they are copied from; in JSON they are nanoseconds of UTC. The name
of a window ends with its end in UTC (`BTC 5m to 16:00Z`), wherever you are.

Kinds of money are never added up under one of these words:
equity = cash + positions at their marks, and profit = realised profit + unrealised profit − fees.

| Term | Unit | |
|---|---|---|
"""


def render_terms() -> str:
    """The page."""
    return _HEAD + "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    for term in TERMS:
        yield f"| {term.word} | {term.unit} | {term.meaning} |"
