"""The pages lead somewhere, name no machine of ours, and say what the code says."""

import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libs.config.environment import ChildEnvironment, Environment
from libs.keys.venues.errors import KeyStoreError
from libs.runtime.layout import StateLayout
from libs.venues import errors
from sandbox.faults.rules import FaultKind, read_script
from services.execution.desk.differences import STOPPING
from services.feed.live.unsettled import UNSETTLED_FILE
from tests.support.paths import ROOT
from tools.cli.app import ENTRIES, load

DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for folder in ("", "docs", "proto", "libs", "services", "sandbox", "tools", "config", "tests", "bench")
    for path in ((ROOT / folder).rglob("*.md") if folder else ROOT.glob("*.md"))
    if ".venv" not in path.parts
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """Anchors as a forge makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    broken = []
    for target in LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# Top\n[a](page.md) [b](gone.md) [c](#top) [d](#bottom) [e](https://example.org/x)\n")
    assert broken_links(page) == ["gone.md", "#bottom"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_no_private_path(page: Path):
    assert re.findall(r"(?<![\w.])/(?:work|home|root|tmp|opt)/\S*", page.read_text()) == []


def test_every_page_of_the_documentation_is_in_its_index():
    index = (DOCS / "README.md").read_text()
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}
    linked = {target for target in LINK.findall(index) if not target.startswith("..")}
    # Runbooks are many and have an index of their own.
    linked |= {f"runbooks/{target}" for target in LINK.findall((DOCS / "runbooks" / "README.md").read_text())}
    assert pages <= linked


# ── commands ──

COMMANDS_PAGE = (DOCS / "reference" / "commands.md").read_text()
SHARED = {"--help", "--json", "--no-headless"}
"""Options that the page speaks of once, or that are only the opposite of another."""


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its words."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, command


COMMANDS = dict(leaf for name in ENTRIES for leaf in leaves(load(name), (name,)))


def options_of(command: Any) -> set[str]:
    return {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }


def section_of(page: str, heading: str) -> str:
    """A section with what is below it; the whole page where there is none of that name."""
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return found[1] if found else page


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_of_a_command_is_on_its_page(path: tuple[str, ...]):
    section = section_of(COMMANDS_PAGE, path[0])
    said = set(re.findall(r"--[a-z][a-z-]*", section + COMMANDS_PAGE.partition("## ")[0]))
    assert options_of(COMMANDS[path]) - SHARED <= said
    assert path[0] in COMMANDS_PAGE
    assert re.search(rf"`[^`]*\b{path[-1]}\b", COMMANDS_PAGE)


def shown_in(text: str) -> list[list[str]]:
    """The words of each command that a text shows: of ``presage halt · resume`` both, options in brackets too."""
    found = []
    for line in re.findall(r"(?:^ {4}|`)(?:\.venv/bin/)?(presage [^`\n]*)", text, re.MULTILINE):
        for piece in re.split(r"(?:^| {2,})presage | · ", line)[1:]:
            command = re.split(r" {2,}|[|>]", piece.strip())[0]
            try:
                found.append(shlex.split(re.sub(r"[][]", "", command)))
            except ValueError:
                continue
    return [words for words in found if words]


def unknown_in(text: str) -> list[str]:
    """Commands shown in a text that do not exist, or have no such options."""
    wrong = []
    for words in shown_in(text):
        known = COMMANDS.get(tuple(words[:2])) or COMMANDS.get(tuple(words[:1]))
        if known is None:
            group = any(path[0] == words[0] for path in COMMANDS)
            if re.fullmatch(r"[a-z][a-z-]+", words[0]) and not (group and len(words) == 1):
                wrong.append(" ".join(words))
        else:
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            wrong += [f"{' '.join(words)}: {option}" for option in sorted(options - options_of(known))]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_shown_exist(page: Path):
    assert unknown_in(page.read_text()) == []


def test_a_command_that_does_not_exist_is_found():
    text = (
        "    presage fly --to MOON\n\n    presage up --faster --seed 7\n\n`presage keys add kalshi --key K`\n"
        "    presage status · halts · resume     presage doctor [--live VENUE] [--dead]\n    presage keys frob\n"
    )
    assert unknown_in(text) == [
        "fly --to MOON",
        "up --faster --seed 7: --faster",
        "keys add kalshi --key K: --key",
        "halts",
        "doctor --live VENUE --dead: --dead",
        "keys frob",
    ]


# ── configuration and environment ──

CONFIGURATION_PAGE = (DOCS / "reference" / "configuration.md").read_text()


def test_environment_variables_are_those_of_the_code():
    folders = ("libs", "services", "sandbox", "tools", "bench", "tests")
    code = [path for folder in folders for path in (ROOT / folder).rglob("*.py")] + [ROOT / "Makefile"]
    used = {name for path in code for name in re.findall(r"\bPRESAGE_[A-Z_]+", path.read_text())}
    used -= {"PRESAGE_NAMESPACE", "PRESAGE_"}
    used |= {*Environment.variables(), *ChildEnvironment.variables()}
    said = set(re.findall(r"^\| `(PRESAGE_[A-Z_]+)` \|", CONFIGURATION_PAGE, re.MULTILINE))
    assert said == used


def test_the_state_directory_is_described_whole():
    page = (DOCS / "reference" / "state-directory.md").read_text()
    layout = StateLayout(Path("state"))
    paths = {value for value in vars(layout).values() if isinstance(value, Path)} - {layout.root}
    names = {path.name for path in paths} | {UNSETTLED_FILE}
    assert {name for name in names if f"`{name}" not in page} == set()


# ── venues ──


def test_the_tree_of_errors_is_that_of_the_code():
    page = (DOCS / "reference" / "venue-errors.md").read_text()
    tree = errors.__doc__ or ""
    shape = re.compile(r"^ +([│├└─ ]*)(\w+)", re.MULTILINE)
    drawn = [(lines, name) for lines, name in shape.findall(tree) if hasattr(errors, name)]
    assert drawn == [(lines, name) for lines, name in shape.findall(page) if hasattr(errors, name)]
    coded = {
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, Exception)
    }
    assert {name for _, name in drawn} == coded
    assert set(re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE)) >= coded - {"VenueError"}
    kinds = {KeyStoreError.__name__, *(kind.__name__ for kind in KeyStoreError.__subclasses__())}
    assert kinds <= set(re.findall(r"`(\w+)`", page))


FACTS_PAGE = (DOCS / "reference" / "venue-facts.md").read_text()
FACTS_MARK = re.compile(r"\[([A-Z]+-\w+(?:-\w+)?)\]")
FACTS_SECTION = r"(?:Polymarket|Kalshi|Binance|Coinbase|Manifold) [a-z][A-Za-z ]*"
FACTS_CITED = re.compile(rf"docs/reference/venue-facts\.md, ({FACTS_SECTION}(?:; {FACTS_SECTION})*)")
SOURCE_FOLDERS = ("proto", "libs", "services", "sandbox", "tools", "bench", "tests")


def bad_citations(text: str) -> list[str]:
    """Sections of the page of facts that are cited and do not exist; "" for a citation without a section."""
    flat = re.sub(r"\s+(?:# )?", " ", text)
    cited = FACTS_CITED.findall(flat)
    bare = [""] * (flat.count("venue-facts.md") - len(cited))
    sections = set(re.findall(r"^### (.+)$", FACTS_PAGE, re.MULTILINE))
    return bare + [name for names in cited for name in names.split("; ") if name not in sections]


def test_facts_that_the_code_cites_have_a_section():
    files = [path for folder in SOURCE_FOLDERS for path in (ROOT / folder).rglob("*.py")]
    texts = {path: path.read_text() for path in files if path != Path(__file__)}
    citing = {str(path.relative_to(ROOT)): text for path, text in texts.items() if "venue-facts.md" in text}
    assert len(citing) > 40
    assert {path: bad for path, text in citing.items() if (bad := bad_citations(text))} == {}


def test_a_citation_of_no_section_is_found():
    page = "docs/reference/venue-facts.md"
    assert (
        bad_citations(
            f"({page}, Kalshi fees). {page},\n    # Kalshi orders; Kalshi errors. {page}, Binance hosts"
        )
        == []
    )
    assert bad_citations(f"{page}, Kalshi feathers; Kalshi fees") == ["Kalshi feathers"]
    assert bad_citations(f"see {page}") == [""]


def test_every_fact_of_a_venue_names_a_source_that_was_read_on_a_day():
    sources = dict(re.findall(r"^\| `([^`]+)` \| .* \| ([^|]+) \|$", FACTS_PAGE, re.MULTILINE))
    facts = re.findall(r"^- (?:.+\n?)(?:^  .+\n?)*", FACTS_PAGE.partition("## Polymarket")[2], re.MULTILINE)
    assert len(facts) > 150
    assert [fact for fact in facts if not re.search(r"\[[^\]]+\]\Z", fact.strip())] == []
    assert {mark for fact in facts for mark in FACTS_MARK.findall(fact)} == set(sources)
    assert {mark for mark, read in sources.items() if not re.search(r"\d{4}-\d\d-\d\d", read)} == set()


def test_the_checklist_of_a_new_venue_names_what_there_is():
    page = (DOCS / "how-to" / "add-a-venue.md").read_text()
    named = re.findall(r"`([a-z_/]+)\.py:(\w+)`", page)
    assert len(named) > 15
    for file, name in named:
        assert hasattr(importlib.import_module(file.replace("/", ".")), name), f"{file}.py:{name}"
    for file in re.findall(r"`((?:libs|services|sandbox|tools|tests|config)/[^`:<]*\.(?:py|yaml))`", page):
        assert (ROOT / file).exists(), file
    for file in re.findall(r"`([a-z_/]+<venue>[a-z_/.<>]*)`", page):
        assert (ROOT / file.replace("<venue>", "kalshi")).exists(), file


def test_the_fault_script_that_is_shown_can_be_used(tmp_path: Path):
    page = (DOCS / "how-to" / "fault-script.md").read_text()
    script = tmp_path / "faults.yaml"
    script.write_text(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    assert len(read_script(script).faults) > 3


def test_every_kind_of_fault_is_explained():
    table = (ROOT / "sandbox" / "README.md").read_text()
    assert {kind.value for kind in FaultKind if f"`{kind.value}`" not in table} == set()


def test_alerts_that_an_operator_is_told_to_look_for_exist():
    page = (DOCS / "how-to" / "go-live.md").read_text()
    rows = re.findall(r"^\| (`[a-z_`, ]+) \| ", page, re.MULTILINE)
    alerts = {alert for row in rows for alert in re.findall(r"`([a-z_]+)`", row)}
    code = "".join(path.read_text() for path in (ROOT / "services" / "monitor").glob("*.py"))
    assert len(alerts) > 6
    assert {alert for alert in alerts if f'"{alert}"' not in code} == set()


def test_differences_that_stop_trading_are_named():
    table = (ROOT / "services" / "execution" / "README.md").read_text()
    assert {name for name in STOPPING if f"`{name}`" not in table} == set()
