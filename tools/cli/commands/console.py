"""``presage password``: who may log in to the console."""

import secrets
from typing import Annotated

import typer

from libs.runtime.layout import StateLayout
from services.console.accounts import FIRST_USER, Accounts, Role
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, print_outcome
from tools.exit_codes import UsageError
from tools.system.installation import expect_run

PASSWORD_BYTES = 12
"""Sixteen characters: nobody finds it by trying, and it can be typed on a phone."""


def password(
    user: Annotated[str, typer.Argument(help="Whose; a new name makes a new user.")] = FIRST_USER,
    role: Annotated[Role | None, typer.Option(help="What the user may do; a new one looks only.")] = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Make a new password for the console and show it once; every session of the user ends."""
    expect_run(state)
    accounts = Accounts(StateLayout(state).console)
    known = accounts.users.get(user)
    made = secrets.token_urlsafe(PASSWORD_BYTES)
    given = role or known or Role.VIEWER
    try:
        accounts.set_password(user, made, given)
    except ValueError as e:
        raise UsageError(str(e)) from e
    text = f"password of {user} ({given.value}): {made}"
    print_outcome({"user": user, "role": given.value, "password": made, "text": text}, as_json)
