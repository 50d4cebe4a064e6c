"""Which messages of a tape are listed."""

import pytest

from tools.exit_codes import UsageError
from tools.offline.tape_listing import Wanted
from tools.system.remote import login_of


@pytest.mark.parametrize(
    ("subjects", "patterns"),
    [
        (("risk.>",), ("risk.>",)),
        (("feed.market.>",), ("feed.market.>",)),
        (("*.started",), ("*.started",)),
        (("risk.>", "feed.quote.x"), ()),
        (("feed.>",), ()),
        (("*.clock",), ()),
        ((">",), ()),
    ],
)
def test_prices_are_never_asked_of_the_archive_by_subject(
    subjects: tuple[str, ...], patterns: tuple[str, ...]
) -> None:
    assert Wanted(subjects).patterns == patterns


def test_an_address_is_taken_apart_and_shows_no_password():
    login = login_of("nats://reader:s%40fe@one:4222,nats://two:4222")
    assert (login.url, login.user, login.password) == ("nats://one:4222,nats://two:4222", "reader", "s@fe")
    assert "s@fe" not in repr(login)
    assert login_of("nats://one:4222").user == "viewer"


@pytest.mark.parametrize("text", ["host:4222", "http://host", "nats://", "nats://a@b@c", "nats://one,two"])
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(UsageError, match="expected an address"):
        login_of(text)
