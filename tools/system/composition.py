"""How the system is put together: its machines, their sections of the configuration, the fixed order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from libs.bounded import clip
from libs.changes.limits import ChangeLimits, unlistable
from libs.config.errors import ConfigError, Problem
from libs.config.load import Sections, load
from libs.config.section import Section
from libs.machine.machine import Machine
from libs.venues.catalogue import VENUES
from proto.subjects import MACHINE_ORDER
from services.advisor.machine import AdvisorMachine
from services.advisor.params import PROMPT_CHARACTERS_MAX, PROMPTS_MAX, AdvisorParams, PromptParams
from services.advisor.proposing import PROMPT as EVALUATOR_PROMPT
from services.execution.machine import ExecutionMachine
from services.execution.paper.machine import PaperMachine
from services.execution.paper.params import PaperParams
from services.execution.params import ExecutionParams
from services.exit.machine import ExitMachine
from services.exit.params import ExitParams
from services.feed.news.params import NewsParams
from services.journal.params import ArchiveParams
from services.monitor.conditions import SECTION as ALERTS
from services.monitor.conditions import AlertsParams
from services.monitor.machine import MonitorMachine
from services.monitor.notify.params import NotifyParams
from services.monitor.params import MonitorParams
from services.risk.machine import RiskMachine
from services.risk.params import RiskParams
from services.signal.discovery import load_strategies
from services.signal.machine import SignalMachine

CONFIG_DIRECTORY = Path(__file__).resolve().parents[2] / "config"
DEFAULT_STRATEGIES = ("momentum",)
ARCHIVE = "archive"
EVALUATION = "eval"
ADVISOR = "advisor"
NEWS = "news"
NOTIFY = "notify"
PROMPTS_DIRECTORY = "prompts"


def factories(strategies: Sequence[str] = DEFAULT_STRATEGIES) -> dict[str, Callable[[], Machine]]:
    """A factory for each machine, in the fixed order."""
    classes = load_strategies(strategies)
    made: dict[str, Callable[[], Machine]] = {
        "signal": lambda: SignalMachine(classes),
        "risk": RiskMachine,
        "execution": ExecutionMachine,
        "paper": PaperMachine,
        "exit": ExitMachine,
        "monitor": MonitorMachine,
        "advisor": AdvisorMachine,
    }
    return {name: made[name] for name in MACHINE_ORDER}


def strategy_names(strategies: Sequence[str] = DEFAULT_STRATEGIES) -> list[str]:
    """What strategies given by name, module or file call themselves."""
    return [strategy.name for strategy in load_strategies(strategies)]


def models(strategies: Sequence[str] = DEFAULT_STRATEGIES) -> dict[str, type[Section]]:
    """Section → its model, in the order the sections are put on the tape."""
    found: dict[str, type[Section]] = {
        "risk": RiskParams,
        "execution": ExecutionParams,
        "paper": PaperParams,
        "exit": ExitParams,
        "monitor": MonitorParams,
        ALERTS: AlertsParams,
    }
    for strategy in load_strategies(strategies):
        found[f"signal.{strategy.name}"] = strategy.params_type
    return found


def sections(
    directory: Path = CONFIG_DIRECTORY,
    overrides: Mapping[str, Any] | None = None,
    strategies: Sequence[str] = DEFAULT_STRATEGIES,
) -> Sections:
    """The resolved configuration.

    Raises:
        ConfigError: naming file, line and key.
    """
    known = models(strategies)
    found = load(directory, known | {EVALUATION: ChangeLimits}, overrides)
    _check_changeable(ChangeLimits.model_validate(found[EVALUATION]), known)
    return found


def _check_changeable(limits: ChangeLimits, known: Mapping[str, type[Section]]) -> None:
    """Refuse a list of changes with something on it that may never change while the system runs.

    Raises:
        ConfigError: naming every such path.
    """
    wrong = [Problem(f"config/{EVALUATION}.yaml", 0, path, why) for path, why in unlistable(limits, known)]
    if wrong:
        raise ConfigError(wrong)


def advisor_models() -> dict[str, type[Section]]:
    """Section → its model, of the advisor."""
    return {ADVISOR: AdvisorParams, f"{ADVISOR}.{PROMPTS_DIRECTORY}": PromptParams}


def venue_models(venues: Iterable[str] = VENUES) -> dict[str, type[Section]]:
    """Section → its model, of the venues given. Machines read none of them, a session without them has none."""
    return {f"venues.{name}": VENUES[name].params for name in venues}


def venue_sections(
    venues: Iterable[str],
    directory: Path = CONFIG_DIRECTORY,
    overrides: Mapping[str, Any] | None = None,
) -> Sections:
    """The resolved sections of the venues given, as ``venues.<name>``.

    Raises:
        ConfigError: naming file, line and key; also for a venue that does not exist.
    """
    names = tuple(venues)
    for name in names:
        if name not in VENUES:
            known = ", ".join(VENUES)
            raise ConfigError([Problem("venues", 0, "", f"expected one of {known}, was {clip(name, 40)!r}")])
    return load(directory, venue_models(names), overrides)


def archive_section(
    directory: Path = CONFIG_DIRECTORY, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The resolved section of the archive, which no machine reads.

    Raises:
        ConfigError: naming file, line and key.
    """
    return _section_apart(ARCHIVE, ArchiveParams, directory, overrides)


def advisor_sections(
    directory: Path = CONFIG_DIRECTORY, overrides: Mapping[str, Any] | None = None
) -> Sections:
    """The advisor's sections: they go onto the tape only where it runs, and without them its machine is silent.

    Raises:
        ConfigError: naming file, line and key; also for a prompt that a role names and that is not there.
    """
    section = _section_apart(ADVISOR, AdvisorParams, directory, overrides)
    texts = _prompts(directory / PROMPTS_DIRECTORY)
    for prompt in (*(role.prompt for role in AdvisorParams.model_validate(section).roles), EVALUATOR_PROMPT):
        if prompt not in texts:
            expected = f"expected {PROMPTS_DIRECTORY}/{prompt}.md for the role, was not there"
            raise ConfigError([Problem(f"config/{ADVISOR}.yaml", 0, "roles", expected)])
    return {ADVISOR: section, f"{ADVISOR}.{PROMPTS_DIRECTORY}": PromptParams(texts=texts).document()}


def news_section(
    directory: Path = CONFIG_DIRECTORY, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The resolved section of the news, which no machine reads.

    Raises:
        ConfigError: naming file, line and key.
    """
    return _section_apart(NEWS, NewsParams, directory, overrides)


def notify_section(
    directory: Path = CONFIG_DIRECTORY, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The resolved section of notifications, which no machine reads.

    Raises:
        ConfigError: naming file, line and key.
    """
    return _section_apart(NOTIFY, NotifyParams, directory, overrides)


def _section_apart(
    name: str, model: type[Section], directory: Path, overrides: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A section that stands by itself, with the overrides that are its own."""
    own = {path: value for path, value in (overrides or {}).items() if path.startswith(f"{name}.")}
    return load(directory, {name: model}, own)[name]


def _prompts(directory: Path) -> dict[str, str]:
    """The prompts of a directory by name, each within its bound."""
    texts: dict[str, str] = {}
    for path in sorted(directory.glob("*.md"))[:PROMPTS_MAX]:
        text = path.read_text(encoding="utf-8").strip()
        if not text or len(text) > PROMPT_CHARACTERS_MAX:
            expected = f"expected 1 to {PROMPT_CHARACTERS_MAX} characters, was {len(text)}"
            raise ConfigError([Problem(f"{directory.name}/{path.name}", 0, "", expected)])
        texts[path.stem] = text
    return texts


def split_overrides(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Overrides of the machines' sections, and those of the venues'."""
    of_venues = {path: value for path, value in overrides.items() if path.startswith("venues.")}
    others = {path: value for path, value in overrides.items() if path not in of_venues}
    apart = (f"{ARCHIVE}.", f"{ADVISOR}.", f"{NEWS}.", f"{NOTIFY}.")
    return {path: value for path, value in others.items() if not path.startswith(apart)}, of_venues
