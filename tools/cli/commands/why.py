"""``presage why``: the chain of causes, read from the tape."""

from pathlib import Path
from typing import Annotated, Any

import typer

from libs.archive.history import History
from libs.runtime.layout import StateLayout
from proto.monitor import Clock
from proto.subjects import TABLE
from tools.cli.commands.tape import history_of
from tools.cli.report import print_why
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, fail, run
from tools.exit_codes import UsageError
from tools.lists.reading import read_markets, read_window
from tools.offline.archived_chain import archived_records
from tools.offline.why import SeveralMeant, Tape, document
from tools.system.installation import tape_access
from tools.view import wording

_KINDS = [row.model for row in TABLE if row.producer != "feed" and row.model is not Clock]
"""Prices and the clock, nearly all of a tape, are fetched one by one where they are a cause."""


def why(
    name: Annotated[str, typer.Argument(metavar="ID")], state: State = DEFAULT_STATE, as_json: AsJson = False
) -> None:
    """The causal chain of an order, a rejection or an exit.

    ID is an order's id, long or short, a message id, a sequence, a market or instrument as the view shows it (its
    newest decision), or the beginning of one of these.
    """
    chain = run(find_chain(state, name))
    if not chain:
        raise fail(f"expected an order, message id, market or sequence of the tape, was {name!r}")
    if as_json:
        emit(chain)
    else:
        money = StateLayout(state).money_file
        print_why(console, chain, wording.sign_of(money.read_text() if money.exists() else ""))


async def find_chain(state: Path, name: str) -> list[dict[str, Any]]:
    """The chain of causes of ``name``; empty when the tape does not know it.

    Raises:
        UsageError: several may be meant.
    """
    tape = Tape()
    async with tape_access(state) as (installation, link):
        history = history_of(installation, link)
        window = await read_window(link, _KINDS)
        for record in archived_records(history.archive, name):
            if record.seq < window.first_seq:
                tape.add(record)
        for record, _ in window.entries:
            tape.add(record)
        tape.labels = await _labels(history)
        try:
            chain = document(await tape.chain(name, lambda seq: history.records(seq, seq)))
        except SeveralMeant as e:
            raise UsageError(str(e)) from e
    for step in chain:
        payload = step["payload"] or {}
        named = (tape.labels.get(payload.get(field, "")) for field in ("instrument", "market"))
        step["name"] = next(filter(None, named), "")
    return chain


async def _labels(history: History) -> dict[str, str]:
    """Markets and instruments as the view names them."""
    found: dict[str, str] = {}
    for name, market in (await read_markets(history)).items():
        found[name] = wording.market(market)
        for outcome in market.outcomes:
            found[outcome.instrument] = f"{found[name]} {outcome.name.upper()}"
    return found
