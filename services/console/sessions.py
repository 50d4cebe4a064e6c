"""Who asks: the session of a request or socket, and what it may do."""

import hmac

from starlette.requests import HTTPConnection

from services.console.accounts import Accounts, Role, Session

COOKIE = "presage"
SECURE_COOKIE = "__Host-presage"
CSRF_HEADER = "x-csrf-token"


class NotLoggedIn(Exception):
    """There is no session."""


class Forbidden(Exception):
    """The session may not do this; the text says why."""


class Gatekeeper:
    """Finds the session of whoever asks."""

    def __init__(self, accounts: Accounts, *, is_secure: bool) -> None:
        self.accounts = accounts
        self.is_secure = is_secure
        self.cookie = SECURE_COOKIE if is_secure else COOKIE

    def session_of(self, connection: HTTPConnection) -> Session | None:
        """The session, or ``None``."""
        value = connection.cookies.get(self.cookie, "")
        return self.accounts.session_of(value) if value else None

    def expect_session(self, connection: HTTPConnection) -> Session:
        """The session.

        Raises:
            NotLoggedIn: there is none.
        """
        session = self.session_of(connection)
        if session is None:
            raise NotLoggedIn
        return session

    def expect_token(self, session: Session, token: str) -> None:
        """See to it that a request that changes something was made by a page or a program of this session.

        Raises:
            Forbidden: the token is missing or another one.
        """
        if not hmac.compare_digest(session.csrf.encode(), token.encode()):
            raise Forbidden("expected the token of this session; load the page again")

    def expect_operator(self, session: Session) -> None:
        """Raises Forbidden for a viewer."""
        if session.role is not Role.OPERATOR:
            raise Forbidden(f"expected an operator, was a {session.role.value}")


def address_of(connection: HTTPConnection) -> str:
    """Where a request comes from, as the socket says it: no header of a stranger is believed."""
    return connection.client.host if connection.client is not None else "unknown"
