"""``presage why``: the chain of causes, read from the tape."""

from pathlib import Path
from typing import Annotated, Any

import typer

from libs.explain import chain as explained
from libs.explain.why import SeveralMeant
from libs.runtime.layout import StateLayout
from libs.view import wording
from tools.cli.commands.tape import history_of
from tools.cli.report import print_why
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, fail, run
from tools.exit_codes import UsageError
from tools.system.installation import tape_access


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
    async with tape_access(state) as (installation, link):
        try:
            return await explained.find_chain(history_of(installation, link), name)
        except SeveralMeant as e:
            raise UsageError(str(e)) from e
