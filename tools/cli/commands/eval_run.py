"""``presage eval run``: by the evaluator of a running system, else here."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from libs.changes.limits import ChangeLimits, limits_in, words_of
from libs.config.load import parse_sets
from libs.lists.reading import newest_of
from libs.runtime.layout import StateLayout
from libs.tape.credentials import OPERATOR
from proto.evaluation import ChangeProposal, Tally
from proto.operator import Config
from proto.units import ONE
from tools.cli.commands.tape import history_of
from tools.cli.eval_table import print_evaluated, print_proposals
from tools.cli.terminal import (
    DEFAULT_STATE,
    AsJson,
    ConfigDirectory,
    Sets,
    State,
    Strategies,
    console,
    emit,
    errors,
    run,
)
from tools.offline.evaluation import evaluate_recordings, evaluate_tape
from tools.offline.worker.asking import EvaluatorSilent, ask, position_of, proposals_of
from tools.offline.worker.protocol import EVALUATE
from tools.system.composition import CONFIG_DIRECTORY, DEFAULT_STRATEGIES, EVALUATION, sections
from tools.system.installation import running_supervisor, tape_access

WAIT_S = 120.0
"""A model answers within a minute, and measuring a change on a day that has just begun takes seconds."""

Recordings = Annotated[
    list[Path] | None, typer.Option("--recording", help="A recording instead of the tape; may be repeated.")
]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for proposed changes.")]
Tell = Callable[[str, int, int], None]


def eval_run(
    day: Annotated[
        str, typer.Argument(help="A day, UTC (2026-05-13); the newest of the tape without one.")
    ] = "",
    recording: Recordings = None,
    wait: Wait = WAIT_S,
    strategy: Strategies = None,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Look for leaks in a day of the tape, or in recordings; a running system proposes changes."""
    visible = sys.stderr.isatty() and not as_json

    async def work() -> dict[str, Any]:
        with Progress(console=errors, transient=True, disable=not visible) as bar:
            task = bar.add_task("eval", total=None)

            def tell(what: str, done: int, total: int) -> None:
                bar.update(task, description=what or "eval", completed=done, total=total or None)

            if recording:
                return _of_recordings(recording, strategy, config, set_, tell)
            return await evaluate_state(state, day, wait, tell)

    found = run(work())
    if as_json:
        emit(found)
        return
    print_evaluated(console, found)
    if found["proposals"]:
        print_proposals(console, found["proposals"])


def _of_recordings(
    paths: list[Path], strategy: list[str] | None, config: Path, sets: list[str] | None, tell: Tell
) -> dict[str, Any]:
    strategies = strategy or list(DEFAULT_STRATEGIES)
    resolved = sections(config, parse_sets(sets or []), strategies)
    found = evaluate_recordings(resolved, strategies, paths, lambda done, _: tell("play", done, len(paths)))
    return found.document() | {"proposals": []}


async def evaluate_state(state: Path, day: str, wait_s: float, tell: Tell) -> dict[str, Any]:
    """A day of a state directory, and the changes proposed for it; by the evaluator where one runs.

    Raises:
        UsageError: the tape has nothing of that day.
        NothingDone: the evaluator could not do it.
    """
    async with tape_access(state) as (installation, link):
        history = history_of(installation, link)
        if not running_supervisor(StateLayout(state)):
            return (await evaluate_tape(history, day, lambda d, t: tell("eval", d, t))).document() | {
                "proposals": []
            }
        before = await position_of(link)
        operator = await installation.connect(OPERATOR)
        try:
            found = await ask(operator, OPERATOR, EVALUATE, tell, day=day)
        except EvaluatorSilent:
            found = (await evaluate_tape(history, day, lambda d, t: tell("eval", d, t))).document()
            wait_s = 0.0
        finally:
            await operator.close()
        tell("waiting for proposals", 0, 0)
        proposals = await proposals_of(history, found["day"], before, wait_s)
        config = await newest_of(link, f"{Config.kind}.{EVALUATION}")
        limits = (limits_in(config.document) if config is not None else None) or ChangeLimits()
        return found | {"proposals": [proposal_document(proposal, limits) for proposal in proposals]}


def proposal_document(proposal: ChangeProposal, limits: ChangeLimits) -> dict[str, Any]:
    """A proposal as plain data, money in dollars, values as a file writes them."""
    edit = proposal.edit
    return {
        "proposal": proposal.proposal,
        "path": edit.path,
        "old": words_of(limits, edit.path, edit.old),
        "new": words_of(limits, edit.path, edit.new),
        "reason": proposal.reason,
        "detail": proposal.detail,
        "day": proposal.day,
        "model": proposal.model,
        "findings": [row.finding for row in proposal.findings],
        "without": _tally(proposal.without),
        "changed": _tally(proposal.changed),
        "decisions_differing": proposal.differing,
    }


def _tally(tally: Tally | None) -> dict[str, Any] | None:
    if tally is None:
        return None
    values = tally.model_dump()
    return values | {name: values[name] / ONE for name in ("profit", "drawdown")}
