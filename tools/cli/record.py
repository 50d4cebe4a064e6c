"""``presage record``: the command around ``tools/offline/recording.py``."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.text import Text

from libs.config.load import parse_sets
from libs.keys.venues.passphrase import DESCRIPTOR_VARIABLE, hand_over
from libs.runtime.layout import StateLayout
from tools.cli.going_live import passphrase_for
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, errors, fail, run
from tools.exit_codes import FAILED
from tools.offline.recording import RecordingProgress, RecordingRun
from tools.system.composition import CONFIG_DIRECTORY, venue_sections


def record(
    venues: Annotated[list[str], typer.Argument(metavar="VENUE …", help="polymarket, kalshi, binance …")],
    for_s: Annotated[float | None, typer.Option("--for", help="End by itself after so many seconds.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the files; STATE/frames without it.")
    ] = None,
    state: State = DEFAULT_STATE,
    config: Annotated[Path, typer.Option("--config", help="Directory of the YAML files.")] = CONFIG_DIRECTORY,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: venues.kalshi.time_to_close_max_hours=4"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the raw frames of venues to files, which `up --recording` and `backtest` play back. No orders."""

    async def work() -> dict[str, Any]:
        layout = StateLayout(state)
        found = venue_sections(venues, config, parse_sets(set_ or []))
        # Who names a venue here wants it, whatever the file says for `up`.
        sections = {venue: {**found[f"venues.{venue}"], "enabled": True} for venue in venues}
        if passphrase := passphrase_for(state, (), venues):
            # The feed's code runs in this process, and takes it as the feed's process does.
            os.environ[DESCRIPTOR_VARIABLE] = str(hand_over(passphrase))
        recording = RecordingRun(sections, (out or layout.frames).resolve(), layout.feed_keys)
        if as_json or not sys.stderr.isatty():
            return await recording.run(for_s, lambda _: None)
        with Live(console=errors, transient=True, auto_refresh=False) as live:
            return await recording.run(for_s, lambda progress: live.update(_line(progress), refresh=True))

    document = run(work())
    if as_json:
        emit(document)
    else:
        console.print_json(data=document)
    if troubles := _troubles(document, venues):
        raise fail("; ".join(troubles), FAILED)


def _troubles(document: Mapping[str, Any], venues: Sequence[str]) -> list[str]:
    """Why not everything that was named is recorded; empty when it is."""
    found = [f"{venue} is off: {reason}" for venue, reason in document["off"].items()]
    named = [venue for venue in dict.fromkeys(venues) if venue not in document["off"]]
    found += [f"{venue}: expected frames, was none" for venue in named if not document["frames"].get(venue)]
    return [*found, document["detail"]] if document["detail"] else found


def _line(progress: RecordingProgress) -> Text:
    """``12 s  polymarket 1,204  binance 8,310``, and what is wrong."""
    counts = "  ".join(f"{venue} {count:,}" for venue, count in sorted(progress.frames.items()))
    return Text(f"{progress.seconds:,.0f} s  {counts or 'waiting for frames'}  {progress.detail}".rstrip())
