"""``presage replay`` on a played tape: identical, tampered, windowed, broken off."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from libs.contract.codec import Unreadable, decode, encode
from libs.keys.signing import Signer, Verifier
from libs.machine.machine import Handler, Stamp
from libs.machine.skips import gate
from libs.operator.desk import OperatorDesk, expiry_ns, fresh_nonce
from libs.runtime.replay_note import read_note
from libs.tape.broker import stream_state
from libs.tape.credentials import ADMIN, OPERATOR
from proto.operator import Command, Verb
from proto.risk import Rejection
from proto.subjects import TAPE
from services.journal.archiver import Archiver
from services.risk.machine import RiskMachine
from tests.support.harness import readable
from tests.support.patient import PatientPublisher
from tests.support.played import Played, copy_of, played_in
from tools.cli.app import app
from tools.cli.commands.tape import history_of
from tools.exit_codes import USAGE
from tools.system import composition
from tools.system.installation import Installation, tape_access

SEGMENT = 500

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})


def replay(state: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    result = run("replay", "--state", str(state), "--json", *arguments)
    assert result.exit_code == code, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return played_in(tmp_path_factory)


@pytest.fixture
def copy(played: Played, tmp_path: Path) -> Path:
    """A copy of the played state that a test may damage; its servers are down."""
    target = tmp_path / "state"
    copy_of(played.state, target)
    return target


def test_a_played_session_is_its_backtest(played: Played) -> None:
    same = run("compare", "--state", str(played.state), "--json")
    assert same.exit_code == 0, same.output
    found = json.loads(same.stdout)
    assert found["verdict"] == "the same"
    assert found["orders"][0] == found["equal"] == played.summary["orders"]


def test_an_untouched_tape_is_identical(played: Played) -> None:
    document = replay(played.state)
    assert read_note(played.state / "replay.json")["differs"] is False
    assert document["identical"]
    assert document["difference"] is None
    assert document["messages"] == played.summary["tape_last_seq"]
    assert document["compared"] > 100
    # No model is named in the configuration: the advisor's service does not run.
    assert {start["machine"] for start in document["starts"]} == set(document["machines"]) - {"advisor"}
    text = run("replay", "--state", str(played.state)).stdout
    assert "identical" in text


def test_a_tape_signed_with_lost_keys_is_identical(copy: Path) -> None:
    for name in ("operator.key", "risk.key"):
        (copy / "keys" / name).unlink()
    assert replay(copy)["identical"]


def test_a_tape_of_retired_keys_is_identical_and_they_sign_nothing_more(played: Played, copy: Path) -> None:
    last = played.summary["tape_last_seq"]
    retired = Installation(copy).operator_signer()
    for role in ("operator", "risk"):
        rotated = json.loads(run("keys", "rotate", role, "--state", str(copy), "--json").stdout)
        assert rotated["last_seq"] == last
    assert replay(copy)["identical"]
    listed = json.loads(run("keys", "list", "--state", str(copy), "--json").stdout)["signing"]
    assert [(row["role"], row["state"], row["last_seq"]) for row in listed] == [
        *((role, *rest) for role in ("operator", "risk") for rest in (("retired", last), ("current", None))),
        ("console", "current", None),
        ("monitor", "current", None),
    ]
    assert f"retired, good up to sequence {last:,}" in run("keys", "list", "--state", str(copy)).stdout
    assert asyncio.run(_given(copy, retired)) == "refused"
    assert asyncio.run(_given(copy, Installation(copy).operator_signer())) == "accepted"


async def _given(state: Path, signer: Signer) -> str:
    """What becomes of a command that is given now: judged as each machine's own gate does."""
    async with tape_access(state, OPERATOR) as (installation, link):
        tape = installation.layout.read_run().tape
        desk = OperatorDesk(link, signer, tape)
        await desk.start()
        record = await history_of(installation, link).at(await desk.command(Verb.CLOSE_ONLY))
        assert record is not None
        watcher = gate(Verifier.load(installation.layout.public_keys), tape)
        try:
            stamp = watcher.accept(record, decode(record.subject, record.payload))
        except Unreadable:
            return "refused"
        return "accepted" if stamp is not None and stamp.verified else "dropped"


def test_a_key_is_rotated_while_nothing_runs_alone(copy: Path) -> None:
    before = (copy / "keys" / "operator.key").read_text()
    running = Installation(copy)
    assert running.acquire() == 0
    result = run("keys", "rotate", "operator", "--state", str(copy))
    assert (result.exit_code, "expected nothing to run" in result.stderr) == (USAGE, True)
    running.release()
    assert (copy / "keys" / "operator.key").read_text() == before
    nowhere = run("keys", "rotate", "operator", "--state", str(copy / "nowhere"))
    assert (nowhere.exit_code, (copy / "nowhere").exists()) == (USAGE, False)


def test_one_machine_alone(played: Played) -> None:
    both = replay(played.state, "--machine", "risk", "--machine", "exit")
    parts = [replay(played.state, "--machine", name) for name in ("risk", "exit")]
    assert both["identical"]
    assert all(part["identical"] for part in parts)
    assert sum(part["compared"] for part in parts) == both["compared"] > 0


def test_a_window_by_sequence_begins_at_a_snapshot(played: Played) -> None:
    last = played.summary["tape_last_seq"]
    for end in (last // 2, last - 1):
        # Outputs of the last inputs stand behind the window: they are looked for, not missed.
        assert replay(played.state, "--to", str(end))["identical"]
    document = replay(played.state, "--from", str(last))
    assert document["identical"]
    assert document["messages"] <= last


async def _move_into_archive(state: Path) -> tuple[int, str]:
    """All but the newest messages only in the archive; where the window begins then, and an archived order."""
    async with tape_access(state, ADMIN) as (installation, link):
        archiver = Archiver(link, installation.layout.archive, "t", segment_seq=SEGMENT, settled_seq=0)
        while await archiver.archive_next():
            pass
        info = await link.client.request(f"$JS.API.STREAM.INFO.{TAPE}", b"", timeout=60)
        config = json.loads(info.data)["config"] | {"max_msgs": SEGMENT}
        await link.client.request(f"$JS.API.STREAM.UPDATE.{TAPE}", json.dumps(config).encode(), timeout=60)
        first = int((await stream_state(link.client, timeout_s=60))["first_seq"])
        approvals = await history_of(installation, link).read_subject("risk.approval.>")
        assert approvals[0].seq < first <= archiver.archive.last
        return first, approvals[0].subject.rpartition(".")[2]


def test_a_tape_that_is_mostly_in_the_archive_is_replayed_and_explained_whole(
    played: Played, copy: Path
) -> None:
    before = replay(played.state)
    first, order = asyncio.run(_move_into_archive(copy))
    assert first > 1
    after = replay(copy)
    assert after["identical"]
    assert {name: after[name] for name in ("messages", "compared", "from", "to")} == {
        name: before[name] for name in ("messages", "compared", "from", "to")
    }
    assert replay(copy, "--from", str(first // 2), "--to", str(first + 100))["identical"]
    what_ifs = [replay(state, "--set", "risk.bet_max=0.005", code=3) for state in (played.state, copy)]
    assert what_ifs[0] == what_ifs[1]
    chains = [
        json.loads(run("why", "--state", str(state), "--json", order).stdout)
        for state in (played.state, copy)
    ]
    assert chains[0] == chains[1]
    for command in ("orders", "fills", "trades", "positions", "alerts", "strategies"):
        listed = [
            json.loads(run(command, "--state", str(state), "--json").stdout) for state in (played.state, copy)
        ]
        assert listed[0] == listed[1], command
    early = json.loads(run("fills", "--state", str(copy), "--json", "--limit", "0").stdout)["fills"]
    assert early[0]["seq"] < first, "expected a fill that the window has dropped"
    assert json.loads(run("archive", "verify", "--state", str(copy), "--json").stdout)["sound"]
    listed = json.loads(run("archive", "list", "--state", str(copy), "--json").stdout)
    assert listed["segments"][0]["first"] == 1
    damaged = next(iter(sorted((copy / "archive").rglob("*.segment"))))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    found = run("archive", "verify", "--state", str(copy))
    assert found.exit_code == 3
    assert damaged.name in found.stdout


def test_a_window_by_time(played: Played) -> None:
    result = run("replay", "--state", str(played.state), "--break", "kind=risk.approval", "--json")
    found = json.loads(result.stdout)["break"]
    at = found["message"]["expires_at"] // 10**9
    document = replay(played.state, "--to", datetime.fromtimestamp(at, UTC).isoformat())
    assert document["identical"]
    assert found["seq"] < document["to"] < played.summary["tape_last_seq"]
    assert run("replay", "--state", str(played.state), "--to", "yesterday").exit_code == 2
    assert run("replay", "--state", str(played.state), "--from", "9", "--to", "3").exit_code == 2


async def _write(state: Path, subject: str, payload: bytes, headers: dict[str, str]) -> int:
    async with tape_access(state, ADMIN) as (_, link):
        publisher = PatientPublisher(link)
        await publisher.start()
        return (await publisher.publish(subject, payload, headers)).seq


async def _last_rejection(state: Path) -> tuple[Rejection, dict[str, str], int]:
    async with tape_access(state) as (installation, link):
        held = [record async for record in history_of(installation, link).records()]
    rejections = [(m, r.headers) for r, m in readable(held) if isinstance(m, Rejection)]
    return *rejections[-1], held[-1].seq


def test_an_output_that_no_machine_decided_is_found(copy: Path) -> None:
    rejection, headers, last_seq = asyncio.run(_last_rejection(copy))
    tape = headers["Nats-Msg-Id"].partition(":")[0]
    invented = headers | {"Nats-Msg-Id": f"{tape}:risk:{last_seq}:0"}
    seq = asyncio.run(_write(copy, rejection.subject(), encode(rejection), invented))
    document = replay(copy, code=3)
    assert document["difference"]["seq"] == seq
    assert document["difference"]["machine"] == "risk"
    assert "recomputed was nothing" in document["difference"]["text"]
    assert replay(copy, "--machine", "signal")["identical"]
    assert replay(copy, "--to", str(seq - 1))["identical"]


def bent(handler: Handler) -> Handler:
    """As the handler, with one millionth more in every rejection."""

    def bending(event: Any, stamp: Stamp) -> list[Any]:
        return [
            m.replace(quantity=m.quantity + 1) if isinstance(m, Rejection) else m
            for m in handler(event, stamp)
        ]

    return bending


def test_a_changed_machine_differs_field_by_field(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dishonest(RiskMachine):
        def __init__(self) -> None:
            super().__init__()
            self.handlers = {kind: bent(handler) for kind, handler in self.handlers.items()}

    monkeypatch.setattr(composition, "RiskMachine", Dishonest)
    document = replay(played.state, code=3)
    difference = document["difference"]
    assert difference["machine"] == "risk"
    row = difference["fields"][0]
    assert row["field"] == "quantity"
    assert row["recomputed"] == row["stored"] + 1
    first = run("replay", "--state", str(played.state), "--break", f"seq={difference['seq']}", "--json")
    assert json.loads(first.stdout)["difference"]["seq"] == difference["seq"]
    text = run("replay", "--state", str(played.state))
    assert text.exit_code == 3
    assert f"difference at {difference['seq']}, risk" in text.stdout
    assert "quantity" in text.stdout


def test_a_break_stops_at_the_first_match_and_shows_the_state(played: Played) -> None:
    document = replay(played.state, "--break", "kind=risk.rejection", "--machine", "risk")
    stop = document["break"]
    assert stop["subject"].startswith("risk.rejection.")
    assert stop["message"]["failed"]
    assert set(stop["state"]) == {"risk"}
    assert stop["state"]["risk"]
    assert document["messages"] == stop["seq"]
    market = stop["message"]["market"]
    again = replay(played.state, "--break", f"kind=risk.rejection market={market}")
    assert again["break"]["seq"] == stop["seq"]
    never = replay(played.state, "--break", "kind=risk.rejection market=none")
    assert "break" not in never
    assert run("replay", "--state", str(played.state), "--break", "nonsense").exit_code == 2


@pytest.mark.parametrize(("arguments", "words"), [
    (("--set", "risk.bet_max"), "expected SECTION.KEY=VALUE"),
    (("--set", "risk.bet_max=lots"), "risk.bet_max"),
    (("--machine", "oracle"), "expected machines of"),
])  # fmt: skip
def test_unknown_settings_and_machines_are_usage_errors(
    played: Played, arguments: tuple[str, ...], words: str
) -> None:
    result = run("replay", "--state", str(played.state), *arguments)
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")


def test_an_unsigned_command_does_not_reach_a_what_if(copy: Path) -> None:
    command = Command(verb=Verb.HALT, nonce=fresh_nonce(), expires_at=expiry_ns())
    before = replay(copy, "--set", "risk.bet_max=0.005", code=3)
    asyncio.run(_write(copy, command.subject(), encode(command), {"Nats-Msg-Id": "operator.forged"}))
    after = replay(copy, "--set", "risk.bet_max=0.005", code=3)
    assert after["variants"] == before["variants"]
    assert replay(copy)["identical"]
