"""Who may say what: users of the broker, made from the table of subjects.

Each service gets exactly: its own subjects, creating a push consumer on ``TAPE``, flow control, stream
information, its health report, its own inbox. No key-value bucket and no direct get is granted: one
direct-get grant is enough to write any subject through the reply subject. What the reply subject can
still do (a broker acknowledgement stored under a foreign subject of the tape) carries no valid signature.

The broker checks no reply subject against the permissions, so no grant keeps its answers out of a stream whose
subjects are known. The ledger therefore takes claims under a prefix that only execution knows
(``claims_prefix``), and stores them as ``ledger.>``; nothing else is ever stored there. In a cluster the same holds for
the copies of claims that execution puts on the tape (``copies_prefix``), and for the leases (``lease_subject``).
"""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from libs.keys.verbs import CONSOLE_VERBS
from libs.tape.errors import TapeError
from proto.operator import Command
from proto.subjects import ALL_SERVICES, CONSOLE, EVALUATOR, EXTRA_PUBLISH, LEASE, LEDGER, TAPE

ADMIN = "bootstrap"
OPERATOR = "operator"
VIEWER = "viewer"
"""Reads for commands and for the terminal view, and says nothing."""
USERS = (*ALL_SERVICES, EVALUATOR, ADMIN, OPERATOR, VIEWER, CONSOLE)

REPORT = "report"
"""Core subject of health reports: ``report.<service>``; not stored."""
LEASE_PREFIX = "lease"
LOCKSTEP_REPORT = "lockstep.report"
LOCKSTEP_GRANT = "lockstep.grant"
LOCKSTEP_POLL = "lockstep.poll"
HALT_SUBJECT = "operator.command.halt"
WORK_REQUEST = "work.request"
"""Core subject of what is asked of the evaluator: ``work.request.<user>``; not stored."""
WORK_ANSWER = "work.answer"
"""And of its answers: ``work.answer.<user>.<id>``."""
ASKING = (OPERATOR, CONSOLE)
"""Users who may ask it. What it measures changes nothing, and its queue is bounded."""
CLAIMS_PREFIX_DIGITS = 32
"""128 bits: nobody finds it by trying."""
STANDBY = "standby"


def standby_name(service: str) -> str:
    """The name under which a process of ``service`` reports while another one leads."""
    return f"{service}-{STANDBY}"


_READ = (f"$JS.API.CONSUMER.CREATE.{TAPE}", f"$JS.FC.{TAPE}.>", f"$JS.API.STREAM.INFO.{TAPE}")


class Permissions(NamedTuple):
    """What a user may publish and subscribe to; ``None`` stands for everything."""

    publish: tuple[str, ...] | None
    subscribe: tuple[str, ...] | None


def claims_prefix(execution_password: str) -> str:
    """The subject below which the ledger takes claims: known to execution, and to whoever makes the streams.

    As hard to guess as the password it is made from. It must not reach a log, a report or the tape.
    """
    return f"claims.{_secret_token(b'presage claims', execution_password)}"


def copies_prefix(claims: str) -> str:
    """The subject below which the tape of a cluster takes copies of claims; as secret as the prefix it is made from."""
    return f"copies.{claims.partition('.')[2]}"


def lease_subject(service: str, password: str) -> str:
    """Where a service puts its lease: known to it, and to whoever makes the streams. Stored as ``lease.<service>``."""
    return f"{LEASE_PREFIX}.{_secret_token(b'presage lease', password)}.{service}"


def _secret_token(purpose: bytes, password: str) -> str:
    digest = hashlib.sha256(purpose + b"\x00" + password.encode()).hexdigest()
    return digest[:CLAIMS_PREFIX_DIGITS]


def permissions_of(user: str, claims: str, lease: str) -> Permissions:
    """The grants of one user of the broker; ``claims`` is the prefix of claims, ``lease`` where it puts its lease."""
    grants = _own_permissions(user, claims, lease)
    if user not in ASKING or grants.publish is None or grants.subscribe is None:
        return grants
    return Permissions(
        (*grants.publish, f"{WORK_REQUEST}.{user}"), (*grants.subscribe, f"{WORK_ANSWER}.{user}.>")
    )


def _own_permissions(user: str, claims: str, lease: str) -> Permissions:
    inbox = f"_INBOX_{user}.>"
    if user == ADMIN:
        return Permissions(None, None)
    if user == OPERATOR:
        return Permissions(("operator.>", *_READ), (inbox, f"{REPORT}.>"))
    if user == VIEWER:
        return Permissions(_READ, (inbox, f"{REPORT}.>"))
    if user == CONSOLE:
        spoken = tuple(f"{Command.kind}.{verb}" for verb in CONSOLE_VERBS)
        return Permissions((*spoken, *_READ, f"{REPORT}.{CONSOLE}"), (inbox, f"{REPORT}.>"))
    if user == EVALUATOR:
        # It reads the tape and publishes its answers; nothing waits for it in lockstep.
        answers = (f"{EVALUATOR}.>", *_READ, f"{REPORT}.{EVALUATOR}", f"{WORK_ANSWER}.>")
        return Permissions(answers, (inbox, f"{WORK_REQUEST}.>"))
    publish = [f"{user}.>", *EXTRA_PUBLISH.get(user, ()), *_READ, f"{REPORT}.{user}"]
    publish += [f"{REPORT}.{standby_name(user)}", lease, f"$JS.API.STREAM.MSG.GET.{LEASE}"]
    subscribe = [inbox, f"{LOCKSTEP_GRANT}.{user}", LOCKSTEP_POLL]
    if user == "feed":
        publish += [f"{LOCKSTEP_GRANT}.>", LOCKSTEP_POLL]
        subscribe += [f"{LOCKSTEP_REPORT}.>"]
    else:
        publish += [f"{LOCKSTEP_REPORT}.{user}"]
    if user == "execution":
        publish += [f"{claims}.>", f"$JS.API.STREAM.MSG.GET.{LEDGER}", f"$JS.API.STREAM.INFO.{LEDGER}"]
        publish += [f"{copies_prefix(claims)}.>"]
        subscribe += [HALT_SUBJECT]
    if user == "monitor":
        # For a chat that it listens to; signed with a key that may say nothing else.
        publish += [HALT_SUBJECT]
        subscribe += [f"{REPORT}.>"]
    return Permissions(tuple(publish), tuple(subscribe))


def make_passwords(directory: Path) -> dict[str, str]:
    """Passwords of all users, one file each that only its owner can read; made once, then kept.

    Raises:
        TapeError: a file is empty. A user without a password would let anybody in.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    passwords: dict[str, str] = {}
    for user in USERS:
        path = directory / user
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32))
        passwords[user] = path.read_text().strip()
        if not passwords[user]:
            raise TapeError(f"expected a password in {path}, was none: remove it while nothing runs")
    return passwords


def authorization_block(passwords: dict[str, str]) -> str:
    """The ``authorization`` block of the broker's configuration."""
    lines = ["authorization {", "  users = ["]
    claims = claims_prefix(passwords["execution"])
    for user, password in passwords.items():
        grants = permissions_of(user, claims, lease_subject(user, password))
        entry = [f"    {{ user: {json.dumps(user)}, password: {json.dumps(password)}"]
        if grants.publish is not None and grants.subscribe is not None:
            entry.append(
                f", permissions: {{ publish: {{ allow: {json.dumps(grants.publish)} }},"
                f" subscribe: {{ allow: {json.dumps(grants.subscribe)} }} }}"
            )
        lines.append("".join(entry) + " }")
    lines += ["  ]", "}"]
    return "\n".join(lines)
