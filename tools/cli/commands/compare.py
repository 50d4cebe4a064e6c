"""``presage compare``: a session beside a backtest over its own recording."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from libs.runtime.layout import StateLayout
from libs.view import wording
from libs.view.moment import moment
from tools.cli.commands.tape import history_of
from tools.cli.tables import table, unit_of
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, run
from tools.exit_codes import DIFFERENCE
from tools.research.session_again import compare_session
from tools.system.installation import tape_access

MEANS = {
    "price": "another price was approved",
    "latency": "the same order met another book",
    "fill": "more or less of it was filled",
    "fee": "another fee",
    "missing": "an order that only one of them has",
}


def compare(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Recordings of the same hours; what the session recorded or played without them."
        ),
    ] = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Compare the orders of the newest session with a backtest over the same hours, and split the difference by cause."""

    async def work() -> dict[str, Any]:
        async with tape_access(state) as (installation, link):
            history = history_of(installation, link)
            frames = StateLayout(state).frames
            return await compare_session(installation, history, recordings or [], frames)

    document = run(work())
    if as_json:
        emit(document)
    else:
        _print(document, unit_of(state))
    if document["verdict"] != "the same":
        raise typer.Exit(DIFFERENCE)


def _print(document: dict[str, Any], unit: str) -> None:
    session, again = document["orders"]
    made = [wording.money(value, signed=True, unit=unit) for value in document["profits"]]
    lines = [
        (
            f"{document['verdict']}: {wording.counted(session, 'order')} in the session, {again:,} in the backtest,"
            f" {document['matched']:,} of both, {document['equal']:,} equal in everything"
        ),
        f"session {made[0]}, backtest {made[1]}",
    ]
    if document["sessions_left_out"]:
        lines.append(
            f"the newest session; {wording.counted(document['sessions_left_out'], 'session')} before it left out"
        )
    for venue, count in document["gaps"][0].items():
        lines.append(f"{wording.counted(count, 'gap')} of {venue} in the session")
    commands = ", ".join(f"{name} {count}" for name, count in document["commands"].items())
    if commands:
        lines.append(f"the operator's commands, which a backtest has not: {commands}")
    if document["settings_changed"]:
        lines.append("settings changed in the session; the backtest has those of its start")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    if document["verdict"] == "the same":
        return
    causes = table("cause", "difference>", "what")
    for name, value in document["by_cause"].items():
        causes.add_row(*map(Text, (name, wording.money(value, signed=True, unit=unit), MEANS[name])))
    console.print(causes)
    rows = table("at (UTC)", "instrument", "what", "session", "backtest")
    for row in document["differing"]:
        known = row["first"] or row["second"]
        cells = (moment(known["at"])[:23], wording.clean(known["instrument"]), row["what"])
        rows.add_row(*map(Text, (*cells, _order(row["first"]), _order(row["second"]))))
    console.print(rows)


def _order(order: dict[str, Any] | None) -> str:
    if order is None:
        return "–"
    filled, quantity = wording.quantity(order["filled"]), wording.quantity(order["quantity"])
    return f"{order['side']} {filled} of {quantity} at {wording.price(order['price'])}"
