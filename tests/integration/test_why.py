"""Why: from the feed's quote over proposal, checks and claim to fills and exit, on one played tape."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from libs.view.names import short_id
from tests.support.played import played_in
from tools.cli.app import app

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "110"})


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory in which a recording was played."""
    return played_in(tmp_path_factory).state


def why(state: Path, name: str) -> list[dict[str, Any]]:
    result = run("why", name, "--state", str(state), "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def found_by(state: Path, condition: str) -> dict[str, Any]:
    """The first message that a replay finds with ``--break``."""
    result = run("replay", "--state", str(state), "--break", condition, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document["break"]


def kinds(chain: list[dict[str, Any]]) -> list[str]:
    return [".".join(link["subject"].split(".")[:2]) for link in chain]


def assert_linked(chain: list[dict[str, Any]]) -> None:
    """In tape order, every cause before its effect, times since the cause never negative."""
    seqs = [link["seq"] for link in chain]
    assert seqs == sorted(seqs)
    for link in chain:
        if link["cause"] in seqs:
            assert link["since_cause_ms"] >= 0
            assert link["cause"] < link["seq"]
    assert all(link["since_previous_ms"] is not None for link in chain[1:])


def test_an_order_from_the_feed_to_its_exit(state: Path) -> None:
    order = found_by(state, "kind=venue.fill")["message"]["order"]
    chain = why(state, order)
    assert_linked(chain)
    found = kinds(chain)
    assert found[0].startswith("feed.")
    places = [
        found.index(kind) for kind in ("signal.proposal", "risk.approval", "ledger.order", "venue.fill")
    ]
    assert places == sorted(places)
    assert "exit.proposal" in found
    approval = next(link for link in chain if link["subject"] == f"risk.approval.{order}")
    checks = {check[0]: check for check in approval["payload"]["checks"]}
    assert {"kill_switch", "bet", "edge", "spread"} <= set(checks)
    assert all(passed for *_, passed in checks.values())
    proposal = next(link for link in chain if link["subject"].startswith("signal.proposal"))
    assert approval["payload"]["proposal"] == proposal["message_id"]
    assert proposal["payload"]["evidence"]
    assert proposal["cause"] == chain[0]["seq"]


def test_a_rejection_by_message_id_and_by_sequence(state: Path) -> None:
    seq = found_by(state, "kind=risk.rejection")["seq"]
    chain = why(state, str(seq))
    assert_linked(chain)
    asked = next(link for link in chain if link["role"] == "asked for")
    assert kinds(chain)[-3:] == [kinds(chain)[0], "signal.proposal", "risk.rejection"][-3:]
    assert asked["payload"]["failed"]
    assert all(not passed for *_, passed in asked["payload"]["failed"])
    assert why(state, asked["message_id"]) == chain


def test_a_market_stands_for_its_newest_decision(state: Path) -> None:
    market = found_by(state, "kind=risk.rejection")["message"]["market"]
    chain = why(state, market)
    asked = [link for link in chain if link["role"] == "asked for"]
    assert len(asked) == 1
    assert asked[0]["payload"]["market"] == market
    assert kinds(asked)[0] in ("risk.approval", "risk.rejection")


def test_a_short_id_and_the_beginning_of_a_name_stand_for_the_whole(state: Path) -> None:
    order = found_by(state, "kind=venue.fill")["message"]["order"]
    assert why(state, short_id(order)) == why(state, order)
    market = found_by(state, "kind=risk.rejection")["message"]["market"]
    ticker = market.partition(":")[2]
    for typed in (ticker, ticker.lower(), ticker[:-1]):
        assert why(state, typed) == why(state, market)


def test_names_that_begin_alike_are_listed(state: Path) -> None:
    order = found_by(state, "kind=venue.fill")["message"]["order"]
    result = run("why", order.partition("-")[0], "--state", str(state))
    assert result.exit_code == 2
    assert "expected one of the names that begin with" in result.output
    assert " more" in result.output


def test_an_exit_shows_why_the_position_was_left(state: Path) -> None:
    seq = found_by(state, "kind=exit.proposal")["seq"]
    chain = why(state, str(seq))
    assert_linked(chain)
    asked = next(link for link in chain if link["role"] == "asked for")
    assert asked["payload"]["reason"] in ("target", "stop_loss", "time_decay", "before_close")
    assert "risk.approval" in kinds(chain)[kinds(chain).index("exit.proposal") :]


def test_for_people_it_shows_decimals_times_and_checks(state: Path) -> None:
    order = found_by(state, "kind=venue.fill")["message"]["order"]
    result = run("why", order, "--state", str(state))
    assert result.exit_code == 0
    text = result.stdout
    for words in ("signal proposes", "risk approves", "the claim is won", "the venue fills", "asked for"):
        assert words in text
    assert "kill_switch" in text
    assert "limit" in text
    assert "passed" in text
    assert " ms after " in text
    price = next(row for row in text.splitlines() if "fair value" in row)
    assert " $0." in price
    expiry = next(row for row in text.splitlines() if "expires at" in row)
    assert expiry.count(":") == 2
    assert "Z" in expiry
    assert max(len(row) for row in text.splitlines()) <= 110


@pytest.mark.parametrize("name", ["nope", "99999999", "t:signal:1:0", "٣", "-1"])
def test_what_the_tape_does_not_know_is_said(state: Path, name: str) -> None:
    result = run("why", "--state", str(state), "--", name)
    assert result.exit_code == 1
    assert "expected an order, message id, market or sequence of the tape" in result.output.replace("\n", " ")
