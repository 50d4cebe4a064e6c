"""Passwords, sessions and attempts: what somebody without a password, or with an old cookie, can do."""

import asyncio
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.accounts import FIRST_PASSWORD, Accounts, AccountsDamaged, Role, TooManyAttempts
from services.console.limits import (
    FAILURES_MAX,
    FAILURES_WINDOW_S,
    SESSION_AGE_S,
    SESSION_IDLE_S,
    SESSIONS_MAX,
)

PASSWORD = "correct horse battery"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Accounts:
    made = Accounts(tmp_path / "console", clock)
    made.set_password("operator", PASSWORD, Role.OPERATOR)
    return made


def cookie_of(accounts: Accounts, address: str = "here") -> str:
    found = asyncio.run(accounts.log_in("operator", PASSWORD, address))
    assert found is not None
    return found.cookie


def test_the_first_start_makes_a_password_that_opens_and_that_only_its_owner_reads(tmp_path: Path):
    made = Accounts(tmp_path / "console")
    path = tmp_path / "console" / FIRST_PASSWORD
    first = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert asyncio.run(made.log_in("operator", first, "here")) is not None
    made.set_password("operator", PASSWORD, Role.OPERATOR)
    assert not path.exists()
    assert asyncio.run(made.log_in("operator", first, "here")) is None


def test_no_file_holds_a_password_or_what_opens_a_session(accounts: Accounts, tmp_path: Path):
    cookie = cookie_of(accounts)
    token = cookie.partition(".")[0]
    for path in (tmp_path / "console").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        content = path.read_bytes().decode(errors="replace")
        assert PASSWORD not in content
        assert token not in content


def test_a_session_outlives_the_process_and_ends_with_logging_out(
    accounts: Accounts, tmp_path: Path, clock: Clock
):
    cookie = cookie_of(accounts)
    after = Accounts(tmp_path / "console", clock)
    assert after.session_of(cookie) is not None
    after.log_out(cookie)
    assert after.session_of(cookie) is None
    assert Accounts(tmp_path / "console", clock).session_of(cookie) is None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Accounts, str]:
    made = Accounts(tmp_path_factory.mktemp("accounts"))
    made.set_password("operator", PASSWORD, Role.OPERATOR)
    return made, cookie_of(made)


@given(data=st.data())
def test_a_cookie_that_was_changed_opens_nothing(shared: tuple[Accounts, str], data: st.DataObject):
    accounts, cookie = shared
    at = data.draw(st.integers(0, len(cookie) - 1))
    other = data.draw(
        st.characters(codec="ascii", exclude_categories=("Cc",)).filter(lambda c: c != cookie[at])
    )
    assert accounts.session_of(cookie) is not None
    assert accounts.session_of(cookie[:at] + other + cookie[at + 1 :]) is None
    assert accounts.session_of(data.draw(st.text(max_size=200).filter(lambda text: text != cookie))) is None


def test_a_session_ends_when_it_is_idle_or_old(accounts: Accounts, clock: Clock):
    idle = cookie_of(accounts)
    clock.now_s += SESSION_IDLE_S + 1
    assert accounts.session_of(idle) is None
    used = cookie_of(accounts)
    for _ in range(int(SESSION_AGE_S / (SESSION_IDLE_S - 1)) + 1):
        assert accounts.session_of(used) is not None
        clock.now_s += SESSION_IDLE_S - 1
    assert accounts.session_of(used) is None


def test_another_password_ends_the_sessions(accounts: Accounts):
    cookie = cookie_of(accounts)
    accounts.set_password("operator", "another long password", Role.OPERATOR)
    assert accounts.session_of(cookie) is None


@pytest.mark.parametrize("from_one_address", [True, False])
def test_who_is_wrong_too_often_waits_even_with_the_right_password(
    accounts: Accounts, clock: Clock, from_one_address: bool
):
    async def attack() -> None:
        for number in range(FAILURES_MAX):
            user = f"user{number}" if from_one_address else "operator"
            address = "there" if from_one_address else f"10.0.0.{number}"
            assert await accounts.log_in(user, "wrong password", address) is None
        address = "there" if from_one_address else "elsewhere"
        with pytest.raises(TooManyAttempts):
            await accounts.log_in("operator", PASSWORD, address)
        clock.now_s += FAILURES_WINDOW_S + 1
        assert await accounts.log_in("operator", PASSWORD, address) is not None

    asyncio.run(attack())


def test_a_stranger_who_guesses_keeps_nobody_who_is_in_from_resuming(accounts: Accounts):
    async def attack() -> None:
        admitted = await accounts.log_in("operator", PASSWORD, "there")
        assert admitted is not None
        for _ in range(FAILURES_MAX):
            assert await accounts.log_in("operator", "wrong password", "there") is None
        assert await accounts.confirms(admitted.session, PASSWORD)
        for _ in range(FAILURES_MAX):
            assert not await accounts.confirms(admitted.session, "wrong password")
        with pytest.raises(TooManyAttempts):
            await accounts.confirms(admitted.session, PASSWORD)

    asyncio.run(attack())


def test_who_knows_one_password_does_not_go_on_guessing_another(accounts: Accounts):
    accounts.set_password("viewer", PASSWORD, Role.VIEWER)

    async def attack() -> None:
        for _ in range(FAILURES_MAX - 1):
            assert await accounts.log_in("operator", "wrong password", "there") is None
        assert await accounts.log_in("viewer", PASSWORD, "there") is not None
        assert await accounts.log_in("somebody", "wrong password", "there") is None
        with pytest.raises(TooManyAttempts):
            await accounts.log_in("viewer", PASSWORD, "there")

    asyncio.run(attack())


def test_attempts_at_the_same_moment_are_counted_one_by_one(accounts: Accounts):
    async def attack() -> list[object]:
        tries = [
            accounts.log_in("operator", "wrong password", f"10.0.0.{n}") for n in range(4 * FAILURES_MAX)
        ]
        return await asyncio.gather(*tries, return_exceptions=True)

    outcomes = asyncio.run(attack())
    assert outcomes.count(None) == FAILURES_MAX


def test_sessions_are_bounded_and_the_oldest_goes(accounts: Accounts):
    first = cookie_of(accounts)
    for _ in range(3):
        cookie_of(accounts)
    for number in range(SESSIONS_MAX):
        accounts._sessions[f"digest{number}"] = accounts._sessions[next(iter(accounts._sessions))]
    cookie_of(accounts)
    assert len(accounts._sessions) == SESSIONS_MAX
    assert accounts.session_of(first) is None


@pytest.mark.parametrize("password", ["short", "x" * 300, ""])
def test_a_password_out_of_bounds_is_refused(accounts: Accounts, password: str):
    with pytest.raises(ValueError, match="expected a password of"):
        accounts.set_password("viewer", password, Role.VIEWER)


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "users.json").write_text('{"operator": {"role": "king"')
    with pytest.raises(AccountsDamaged, match=r"users\.json"):
        Accounts(tmp_path)
