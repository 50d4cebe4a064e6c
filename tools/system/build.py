"""From what was asked for to a system that can be started: its sections and its venues."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.config.load import written_keys
from libs.lists.settings import DEFAULT, SET
from libs.venues.catalogue import VENUES
from tools.exit_codes import UsageError
from tools.system.advising import advising_of
from tools.system.composition import (
    CONFIG_DIRECTORY,
    advisor_sections,
    archive_section,
    news_section,
    notify_section,
    sections,
    split_overrides,
    venue_sections,
)
from tools.system.options import MarketSource, Options
from tools.system.system import System


def system_of(
    options: Options, config: Path = CONFIG_DIRECTORY, overrides: Mapping[str, Any] | None = None
) -> System:
    """The system, not started yet.

    Raises:
        ConfigError: naming file, line and key.
        UsageError: venues that cannot be traded the way that was asked for, or a fault script that cannot be used.
    """
    _check_faults(options)
    of_machines, _ = split_overrides(overrides or {})
    found = sections(config, of_machines, options.strategies)
    if options.money == "real" and found.get("signal.model_edge", {}).get("influence") == "full":
        raise UsageError("expected signal.model_edge.influence earned with real money, was full")
    options.news = news_section(config, overrides)
    options.notify = notify_section(config, overrides)
    options.archive_keep_days = archive_section(config, overrides)["keep_days"]
    if options.recordings or options.sockets or options.market is MarketSource.SYNTHETIC:
        if options.live:
            raise UsageError("expected prices of venues for real orders, was a recording or synthetic ones")
        options.origins = origins_of(found, config, overrides or {})
        return System(options, found)
    venues = all_venues(config, overrides)
    off = [venue for venue in options.live if not venues[venue]["enabled"]]
    if options.market is MarketSource.SANDBOX:
        options.live = [venue for venue in options.live if venue not in off]
    elif off:
        raise UsageError(f"expected {off[0]} to be enabled in config/venues/{off[0]}.yaml, was not")
    advising = advising_of(options, advisor_sections(config, overrides))
    every = found | {f"venues.{name}": section for name, section in venues.items()} | advising.sections
    options.origins = origins_of(every, config, overrides or {})
    return System(options, found, venues, advising)


def origins_of(
    found: Mapping[str, Mapping[str, Any]], config: Path, overrides: Mapping[str, Any]
) -> dict[str, str]:
    """Path of every setting → where its value comes from: ``--set``, the file that says it, or the default."""
    origins: dict[str, str] = {}
    for section, document in found.items():
        path = config.joinpath(*section.split(".")).with_suffix(".yaml")
        written = written_keys(path) if path.exists() else frozenset()
        for key in document:
            name = f"{section}.{key}"
            if any(given == name or given.startswith(f"{name}.") for given in overrides):
                origins[name] = SET
            else:
                origins[name] = str(path.relative_to(config.parent)) if key in written else DEFAULT
    return origins


def _check_faults(options: Options) -> None:
    """Read the fault script before anything starts; the sandbox's process reads it again."""
    if options.faults is None:
        return
    if options.market is not MarketSource.SANDBOX or options.recordings or options.sockets:
        raise UsageError("expected --faults with the sandbox, was without it")
    from sandbox.faults.rules import FaultScriptError, read_script

    try:
        read_script(options.faults)
    except FaultScriptError as e:
        raise UsageError(str(e)) from e


def all_venues(
    config: Path = CONFIG_DIRECTORY, overrides: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Every venue's section, with its real addresses; what ``overrides`` say of the machines is left out.

    Raises:
        ConfigError: naming file, line and key.
    """
    resolved = venue_sections(VENUES, config, split_overrides(overrides or {})[1])
    return {name: resolved[f"venues.{name}"] for name in VENUES}
