"""One word for one thing: the words that a term stands instead of are nowhere a user looks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.view import terms
from libs.view.check_words import check_label
from libs.view.terms import TERMS
from services.journal import params as journal_params
from tests.support.names import names_of_checks
from tests.support.paths import ROOT
from tools.system.composition import models, venue_models

OTHER_WORDS = {other: term.word for term in TERMS for other in term.instead_of}
PATTERN = re.compile(rf"(?<![\w-])(?:{'|'.join(OTHER_WORDS)})(?![\w-])", re.IGNORECASE)
CHECKS = names_of_checks()
VENUES_WORDS = {"venue-facts", "venue-errors", "order-flags"}
"""Pages that say what venues call things."""
HISTORY = {"CHANGELOG"}
PAGES = [
    page
    for folder in (ROOT, *(ROOT / name for name in ("docs", "services", "sandbox", "libs", "config")))
    for page in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
    if page.stem not in VENUES_WORDS | HISTORY
]
SOURCES = [
    *(path for path in (ROOT / "tools").rglob("*.py") if path != Path(terms.__file__)),
    *(ROOT / "services/monitor").glob("*.py"),
]


def shown_strings(source: str) -> Iterator[tuple[int, str]]:
    """Strings of a module that may be shown: not what documents it, and not a name of a check."""
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in documents:
            continue
        if isinstance(node.value, str) and node.value not in CHECKS:
            yield node.lineno, node.value


def prose(page: str) -> str:
    """A page without what it quotes: blocks and pieces of code, and addresses."""
    text = re.sub(r"```.*?```|^ {4}.*$", "", page, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`|\([^)\s]*\)", "", text)


def other_words(text: str) -> list[str]:
    return [found.group() for found in PATTERN.finditer(text)]


def test_what_commands_and_alerts_say_uses_the_terms():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in SOURCES
        for line, text in shown_strings(path.read_text())
        for word in other_words(text)
    ]
    assert found == []
    assert [name for name in sorted(CHECKS) if other_words(check_label(name))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_use_the_terms(page: Path):
    text = page.read_text()
    if page.name == "terms.md":
        return
    assert other_words(prose(text)) == []


def test_settings_and_the_journals_views_use_the_terms():
    sections = models() | venue_models() | {"archive": journal_params.ArchiveParams}
    described = [
        f"{name}.{key}: {word}"
        for name, section in sections.items()
        for key, field in section.model_fields.items()
        for word in other_words(field.description or "")
    ]
    assert described == []
    comments = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in (ROOT / "config").rglob("*.yaml")
        for comment in re.findall(r"#.*", path.read_text())
        for word in other_words(comment)
    ]
    assert comments == []
    for file in sorted((ROOT / "services/journal").glob("views*.sql")):
        views = re.sub(r"'[^']*'", "", file.read_text()).replace("_", " ")
        assert other_words(views) == [], file.name


def test_another_word_is_found():
    assert other_words("the heat, 3 gross profits, Unrealized PnL, a heater") == ["heat", "Unrealized", "PnL"]
    assert list(shown_strings('"""heat"""\nx = f"{y} heat"\nz = "heat"\n')) == [(2, " heat")]
    assert "heat" not in prose("`heat_max`\n    heat\n```\nheat\n```\n")


def test_every_term_is_one_thing():
    words = [term.word for term in TERMS]
    assert len(words) == len(set(words))
    assert not [word for word in words if other_words(word)]
