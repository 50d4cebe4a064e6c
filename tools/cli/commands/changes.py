"""``presage eval list|show|accept|reject``: proposed changes, and what the operator makes of them."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.changes.limits import ChangeLimits, words_of
from libs.lists.changes import OPEN, ChangeQueue, ChangeRow, read_changes, read_limits
from libs.lists.reading import session_now
from libs.operator.aftermath import outcome_of_change
from libs.runtime.layout import StateLayout
from libs.tape.broker import LOOK_TIMEOUT_S, stream_state
from libs.view.moment import moment
from libs.view.wording import clean
from proto.evaluation import ChangeProposal, ChangeStep, Tally
from proto.operator import Verb
from proto.units import show
from tools.cli.commands.operator import give, operator_desk, print_decision
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, print_outcome, run
from tools.exit_codes import NothingDone, UsageError
from tools.system.installation import expect_run, running_supervisor, tape_access

ProposalName = Annotated[str, typer.Argument(metavar="ID", help="As `presage eval list` shows it.")]
FIGURES = ("trades", "orders", "fills", "rejections", "errors")


def list_(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Proposed changes that wait for you, each with what it would have made of its day."""
    queue, limits = run(_read(state))
    rows = [row for row in queue.rows.values() if everything or row.state in OPEN]
    if as_json:
        emit({"proposals": [row.document() for row in rows]})
        return
    if not rows:
        console.print(
            "no proposed change waits (presage eval list --all shows the decided ones)", highlight=False
        )
        return
    table = Table(box=None, header_style="bold")
    for name in ("id", "change", "state", "profit of its day", "why"):
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = (row.proposal.proposal, _words(limits, row), row.state, _effect(row), row.proposal.reason)
        table.add_row(*(Text(clean(cell)) for cell in cells))
    console.print(table)


def show_(proposal: ProposalName, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """A proposed change in full: what it rests on, what it would have done, what became of it."""
    queue, limits = run(_read(state))
    row = _named(queue, proposal)
    if as_json:
        emit(row.document())
        return
    told = row.proposal
    made = (
        f"made by {told.model or 'an unknown model'} with prompt {told.prompt or 'unknown'}"
        f" for {told.day}, {moment(told.at)} UTC, good until {moment(told.expires_at)} UTC"
    )
    lines = [
        f"{told.proposal}: {_words(limits, row)}, {row.state}{f' ({row.reason})' if row.reason else ''}",
        f"why: {told.reason}",
        f"findings: {', '.join(found.finding for found in told.findings) or 'none'}",
        made,
        f"section {told.edit.section} as of {told.edit.section_hash}",
        *_measured(told),
        *(
            f"after {verdict.minutes} min: {verdict.ruling.value}, {verdict.reason}"
            for verdict in row.verdicts
        ),
    ]
    console.print("\n".join(map(clean, lines)), highlight=False, markup=False, soft_wrap=True)


def accept(proposal: ProposalName, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Accept a proposed change: it counts at once, and for an hour the monitor may take it back."""
    print_decision(run(give_accept(state, proposal)), as_json)


def reject(
    proposal: ProposalName,
    reason: Annotated[str, typer.Option(help="Why: the next proposals are made with it.")] = "",
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Reject a proposed change."""
    print_outcome(run(give_reject(state, proposal, reason)), as_json)


async def _read(state: Path) -> tuple[ChangeQueue, ChangeLimits]:
    async with tape_access(state) as (installation, link):
        history = History(link, Archive(installation.layout.archive))
        return await _queue(history), await read_limits(history)


async def _queue(history: History) -> ChangeQueue:
    last_seq = int((await stream_state(history.link.client, timeout_s=LOOK_TIMEOUT_S))["last_seq"])
    return await read_changes(history, await session_now(history.link, last_seq))


def _named(queue: ChangeQueue, name: str) -> ChangeRow:
    """The proposal with this id, or the one whose id begins so.

    Raises:
        NothingDone: there is none.
        UsageError: more than one may be meant.
    """
    found = [row for key, row in queue.rows.items() if key == name]
    found = found or [row for key, row in queue.rows.items() if key.startswith(name)]
    if not found:
        raise NothingDone(f"expected a proposed change, was {name!r} (presage eval list shows them)")
    if len(found) > 1:
        names = ", ".join(row.proposal.proposal for row in found[:5])
        raise UsageError(f"expected one proposed change, was {names}")
    return found[0]


def _words(limits: ChangeLimits, row: ChangeRow) -> str:
    edit = row.proposal.edit
    return f"{edit.path} {words_of(limits, edit.path, edit.old)} → {words_of(limits, edit.path, edit.new)}"


def _effect(row: ChangeRow) -> str:
    without, changed = row.proposal.without, row.proposal.changed
    if without is None or changed is None:
        return "not measured"
    return f"{show(without.profit)} → {show(changed.profit)}"


def _measured(proposal: ChangeProposal) -> list[str]:
    without, changed = proposal.without, proposal.changed
    if without is None or changed is None:
        return [f"not measured: {proposal.detail or 'nobody said why'}"]
    counted = ", ".join(f"{name} {_pair(without, changed, name)}" for name in FIGURES)
    told = (
        f"its day, simulated without and with it: profit {show(without.profit)} → {show(changed.profit)},"
        f" drawdown {show(without.drawdown)} → {show(changed.drawdown)}, {counted};"
        f" {proposal.differing} decisions differ"
    )
    return [told, *([proposal.detail] if proposal.detail else [])]


def _pair(without: Tally, changed: Tally, name: str) -> str:
    return f"{getattr(without, name)} → {getattr(changed, name)}"


async def give_accept(state: Path, name: str) -> dict[str, Any]:
    """Accept a proposal and wait for what the machine makes of it. ``done``: whether it was applied.

    Raises:
        NothingDone: nothing runs, or the proposal does not wait.
        UsageError: more than one may be meant.
    """
    expect_run(state)
    layout = StateLayout(state)
    if not running_supervisor(layout):
        raise NothingDone(f"expected a running system in {layout.root}, was none: nothing would apply it")
    async with operator_desk(layout) as (desk, link):
        history = History(link, Archive(layout.archive))
        row = _open(_named(await _queue(history), name))
        edit = row.proposal.edit
        seq = await give(
            desk,
            Verb.ACCEPT,
            proposal=row.proposal.proposal,
            path=edit.path,
            section_hash=edit.section_hash,
            old=edit.old,
            new=edit.new,
        )
        came = await outcome_of_change(link, seq)
        words = _words(await read_limits(history), row)
    document = {"verb": Verb.ACCEPT.value, "proposal": row.proposal.proposal, "path": edit.path, "seq": seq}
    if came is None:
        text = f"{row.proposal.proposal}: no machine has answered; presage status says whether it runs"
        return document | {"done": False, "step": "", "text": text}
    done = came.step is ChangeStep.APPLIED
    text = (
        f"{row.proposal.proposal}: {words}, in force; the monitor looks at 5, 15, 30 and 60 minutes and may take it back"
        if done
        else f"{row.proposal.proposal}: refused: {came.reason}"
    )
    return document | {"done": done, "step": came.step.value, "text": text}


async def give_reject(state: Path, name: str, reason: str) -> dict[str, Any]:
    """Reject a proposal.

    Raises:
        NothingDone: the proposal does not wait.
        UsageError: more than one may be meant.
    """
    expect_run(state)
    layout = StateLayout(state)
    async with operator_desk(layout) as (desk, link):
        row = _open(_named(await _queue(History(link, Archive(layout.archive))), name))
        proposal = row.proposal.proposal
        seq = await give(desk, Verb.REJECT, proposal=proposal, reason=reason)
    text = f"{proposal}: rejected"
    return {"verb": Verb.REJECT.value, "proposal": proposal, "seq": seq, "text": text}


def _open(row: ChangeRow) -> ChangeRow:
    if row.state not in OPEN:
        because = f": {row.reason}" if row.reason else ""
        raise NothingDone(
            f"expected a change that waits, was {row.proposal.proposal}, which is {row.state}{because}"
        )
    return row
