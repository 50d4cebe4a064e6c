"""Who may log in, who has, and who tried too often.

Passwords are kept as argon2id hashes. A session is 256 random bits in a signed cookie; the server keeps their SHA-256,
so that neither a copy of the file nor of a log opens anything, and logging out ends it at once.
"""

import asyncio
import hashlib
import hmac
import json
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from libs.bounded import cut, keep_newest
from libs.files import write_atomically
from libs.runtime.layout import OWNER_ONLY
from services.console.limits import (
    FAILURES_MAX,
    FAILURES_WINDOW_S,
    PASSWORD_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MIN,
    SESSION_AGE_S,
    SESSION_IDLE_S,
    SESSIONS_MAX,
    USER_CHARACTERS_MAX,
    WATCHED_MAX,
)
from services.console.memory import give_back

MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
"""OWASP's second choice for argon2id: 19 MiB, two passes, one lane. The process is to stay below 80 MB, and one hash is
made at a time."""
USERS, SESSIONS = "users.json", "sessions.json"
FIRST_USER = "operator"
FIRST_PASSWORD = "first-password"  # noqa: S105 - the name of a file
"""File with the password made at the first start; it goes when another one is set."""
Kept = TypeVar("Kept")
SAVE_EVERY_S = 60.0
"""How stale a session's last use may be in the file: it is written when something else changes, or after so long."""


class Role(StrEnum):
    """What somebody may do: a viewer looks, and may halt as anyone may."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class AccountsDamaged(ValueError):
    """A file of the console's directory is cut or changed; the text names it, and what mends it."""


class User(msgspec.Struct):
    """A user: role and argon2id hash."""

    role: Role
    hash: str


class Session(msgspec.Struct):
    """A browser that is logged in; times in seconds, wall clock."""

    user: str
    role: Role
    csrf: str
    began_at_s: float
    used_at_s: float


class LoggedIn(NamedTuple):
    """What a browser gets: its cookie's value, and the session."""

    cookie: str
    session: Session


class TooManyAttempts(Exception):
    """Nobody is let in that way for some minutes."""


class Accounts:
    """Users and sessions of one state directory."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Raises AccountsDamaged when a file is cut or changed."""
        self._folder = folder
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY)
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._one_at_a_time = asyncio.Semaphore(1)
        self._users: dict[str, User] = {}
        self._sessions: dict[str, Session] = {}
        self._users_read_at = 0
        self._read_anew()
        self._failures: dict[str, deque[float]] = {}
        self._secret = self._own_secret()
        self._saved_at_s = clock()
        # Verified against where there is no such user, so that both take the same time.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))
        if not self._users:
            first = secrets.token_urlsafe(12)
            self.set_password(FIRST_USER, first, Role.OPERATOR)
            self._write(FIRST_PASSWORD, f"{first}\n".encode())

    def _read_anew(self) -> None:
        """Read users and sessions, if a command has changed the users since."""
        path = self._folder / USERS
        changed_at = path.stat().st_mtime_ns if path.exists() else 0
        if changed_at != self._users_read_at or not changed_at:
            self._users_read_at = changed_at
            self._users = self._read(USERS, dict[str, User])
            self._sessions = self._read(SESSIONS, dict[str, Session])

    @property
    def users(self) -> dict[str, Role]:
        """User → role."""
        return {name: user.role for name, user in self._users.items()}

    @property
    def open_sessions(self) -> int:
        """Sessions that are not over."""
        return sum(not self._is_over(session) for session in self._sessions.values())

    def set_password(self, user: str, password: str, role: Role) -> None:
        """Make a user, or give one another password; their sessions end.

        Raises:
            ValueError: name or password is too short or too long.
        """
        if not 0 < len(user) <= USER_CHARACTERS_MAX or not user.isprintable():
            raise ValueError(f"expected a name of 1 to {USER_CHARACTERS_MAX} characters, was {len(user)}")
        if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
            raise ValueError(
                f"expected a password of {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters,"
                f" was {len(password)}"
            )
        self._users[user] = User(role, self._hasher.hash(password))
        if user == FIRST_USER:
            (self._folder / FIRST_PASSWORD).unlink(missing_ok=True)
        self.end_all(user)
        # After the sessions: a process that sees other users reads both.
        self._write(USERS, msgspec.json.encode(self._users))
        self._users_read_at = (self._folder / USERS).stat().st_mtime_ns

    async def log_in(self, user: str, password: str, address: str) -> LoggedIn | None:
        """A session for who knows the password; ``None`` for who does not.

        Raises:
            TooManyAttempts: the user, or somebody at the address, was wrong too often.
        """
        watched = (f"user {cut(user, USER_CHARACTERS_MAX)}", f"address {address}")
        if not await self._is_password_of(user, password, watched):
            return None
        # Not those of the address: who knows one password there could go on guessing another.
        self._failures.pop(watched[0], None)
        token = secrets.token_urlsafe(32)
        now = self._clock()
        session = Session(user, self._users[user].role, secrets.token_urlsafe(24), now, now)
        self._sessions = {key: held for key, held in self._sessions.items() if not self._is_over(held)}
        self._sessions[_digest(token)] = session
        keep_newest(self._sessions, SESSIONS_MAX)
        self._save_sessions()
        return LoggedIn(f"{token}.{self._signature(token)}", session)

    async def confirms(self, session: Session, password: str) -> bool:
        """Whether it is the password of who is logged in: asked again before a resume.

        Counted for the session alone: a stranger who is wrong at the login keeps nobody who is in from resuming.

        Raises:
            TooManyAttempts: it was wrong too often in this session.
        """
        key = f"session {session.csrf}"
        is_right = await self._is_password_of(session.user, password, (key,))
        if is_right:
            self._failures.pop(key, None)
        return is_right

    async def _is_password_of(self, user: str, password: str, watched: tuple[str, ...]) -> bool:
        """Whether it is; a wrong one counts for each of what is ``watched``. Raises TooManyAttempts."""
        if any(self._is_barred(key) for key in watched):
            raise TooManyAttempts
        self._read_anew()
        known = self._users.get(user)
        async with self._one_at_a_time:
            # Again: who waited in line while others failed is barred with them.
            if any(self._is_barred(key) for key in watched):
                raise TooManyAttempts
            is_right = await asyncio.to_thread(
                self._verify, known.hash if known is not None else self._nobody, password
            )
            give_back()
            if not is_right or known is None:
                for key in watched:
                    self._failures.setdefault(key, deque(maxlen=FAILURES_MAX)).append(self._clock())
                keep_newest(self._failures, WATCHED_MAX)
                return False
        return True

    def session_of(self, cookie: str) -> Session | None:
        """The session of a cookie's value; ``None`` when it is forged, unknown or over."""
        token, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(token).encode()):
            return None
        self._read_anew()
        session = self._sessions.get(_digest(token))
        if session is None or self._is_over(session) or session.user not in self._users:
            return None
        session.used_at_s = self._clock()
        if session.used_at_s - self._saved_at_s > SAVE_EVERY_S:
            self._save_sessions()
        return session

    def log_out(self, cookie: str) -> None:
        """End the session of a cookie's value."""
        if self._sessions.pop(_digest(cookie.partition(".")[0]), None) is not None:
            self._save_sessions()

    def end_all(self, user: str) -> None:
        """End every session of a user."""
        self._sessions = {key: held for key, held in self._sessions.items() if held.user != user}
        self._save_sessions()

    def _is_over(self, session: Session) -> bool:
        now = self._clock()
        return now - session.used_at_s > SESSION_IDLE_S or now - session.began_at_s > SESSION_AGE_S

    def _is_barred(self, key: str) -> bool:
        failures = self._failures.get(key)
        if failures is None or len(failures) < FAILURES_MAX:
            return False
        return self._clock() - failures[0] < FAILURES_WINDOW_S

    def _verify(self, known: str, password: str) -> bool:
        if len(password) > PASSWORD_CHARACTERS_MAX:
            return False
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    def _signature(self, token: str) -> str:
        return hmac.new(self._secret, token.encode(), hashlib.sha256).hexdigest()

    def _own_secret(self) -> bytes:
        path = self._folder / "secret"
        if not path.exists():
            self._write("secret", secrets.token_hex(32).encode())
        return path.read_bytes()

    def _save_sessions(self) -> None:
        self._saved_at_s = self._clock()
        self._write(SESSIONS, msgspec.json.encode(self._sessions))

    def _write(self, name: str, content: bytes) -> None:
        write_atomically(self._folder / name, content)
        os.chmod(self._folder / name, 0o600)

    def _read(self, name: str, kind: type[dict[str, Kept]]) -> dict[str, Kept]:
        path = self._folder / name
        if not path.exists():
            return {}
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except (msgspec.DecodeError, json.JSONDecodeError) as e:
            raise AccountsDamaged(
                f"expected {path} to be whole, was cut or changed ({e}); remove it while nothing runs"
            ) from e


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
