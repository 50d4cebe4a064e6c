"""Keys and passwords: what they sign, who may read them, and that they are seen nowhere else."""

import asyncio
import base64
import contextlib
import json
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.files import write_atomically
from libs.keys.signing import (
    APPROVAL_DOMAIN,
    GENUINE_MAX,
    OPERATOR_DOMAIN,
    Signer,
    UnusableKey,
    Verifier,
    retired_file,
)
from libs.keys.verbs import CONSOLE_VERBS
from libs.observability.server import SUPERVISOR
from libs.runtime.layout import StateLayout
from libs.tape.credentials import USERS
from proto.operator import Verb
from proto.service import Started
from proto.subjects import SERVICES
from proto.venue import Ack
from tests.fault.rig import BUSY
from tests.support.harness import PATIENCE_S, kill, read_all, running, synthetic_recording
from tests.support.raw_client import RawClient
from tools.system import signing_keys
from tools.system.installation import Installation
from tools.system.options import Options
from tools.system.system import System

OWNER_ONLY = 0o077
RISK = Signer.generate(APPROVAL_DOMAIN)
OPERATOR = Signer.generate(OPERATOR_DOMAIN)
VERIFIER = Verifier({signer.key_id: signer.public_key for signer in (RISK, OPERATOR)})
parts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(parts, parts, parts, st.binary(max_size=40), parts, parts, parts, st.binary(max_size=40))
def test_a_signature_is_good_for_what_was_signed_alone(
    tape: str, subject: str, word: str, payload: bytes, tape2: str, subject2: str, word2: str, payload2: bytes
):
    signed, other = (tape, subject, word, payload), (tape2, subject2, word2, payload2)
    text = RISK.sign(*signed)
    assert VERIFIER.verify(APPROVAL_DOMAIN, *signed, text, RISK.key_id)
    assert VERIFIER.verify(APPROVAL_DOMAIN, *other, text, RISK.key_id) == (signed == other)
    # What was verified is remembered, and nothing but it.
    assert VERIFIER.verify(APPROVAL_DOMAIN, *signed, text, RISK.key_id)
    assert not VERIFIER.verify(OPERATOR_DOMAIN, *signed, text, RISK.key_id)
    assert not VERIFIER.verify(APPROVAL_DOMAIN, *signed, text, OPERATOR.key_id)
    assert not VERIFIER.verify(APPROVAL_DOMAIN, *signed, text + " ", RISK.key_id)


def test_no_more_than_so_many_signatures_are_remembered():
    verifier = Verifier({RISK.key_id: RISK.public_key})
    signed = [("t", "s", str(number), b"p") for number in range(GENUINE_MAX + 10)]
    for what in (*signed, *signed):
        assert verifier.verify(APPROVAL_DOMAIN, *what, RISK.sign(*what), RISK.key_id)
    assert len(verifier._genuine) == GENUINE_MAX


def test_a_key_is_good_for_its_own_domain_alone():
    what = ("t", "s", "m", b"p")
    for signer, domain in ((RISK, APPROVAL_DOMAIN), (OPERATOR, OPERATOR_DOMAIN)):
        other = OPERATOR_DOMAIN if domain == APPROVAL_DOMAIN else APPROVAL_DOMAIN
        assert VERIFIER.verify(domain, *what, signer.sign(*what), signer.key_id)
        assert not VERIFIER.verify(other, *what, signer.sign(*what), signer.key_id)


@given(st.text(), st.text())
def test_any_text_is_a_signature_that_does_not_verify(signature: str, key_id: str):
    for key in (key_id, RISK.key_id, OPERATOR.key_id):
        assert not VERIFIER.verify(APPROVAL_DOMAIN, "t", "s", "m", b"p", signature, key)


def test_a_key_is_made_for_its_owner_alone_and_never_shown(tmp_path: Path):
    path = tmp_path / "keys" / "risk.key"
    signer = Signer.create(APPROVAL_DOMAIN, path)
    secret = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert secret not in repr(signer) + str(signer) + str(vars(signer))
    assert Signer.load(APPROVAL_DOMAIN, path).public_key == signer.public_key
    with pytest.raises(FileExistsError):
        Signer.create(APPROVAL_DOMAIN, path)
    assert path.read_text() == secret


def test_a_retired_key_is_good_up_to_a_sequence_and_no_further():
    verifier = Verifier({RISK.key_id: RISK.public_key}, {RISK.key_id: 7})
    what = ("t", "s", "m", b"p")
    text = RISK.sign(*what)
    found = {seq: verifier.verify(APPROVAL_DOMAIN, *what, text, RISK.key_id, seq) for seq in (1, 7, 8)}
    assert found == {1: True, 7: True, 8: False}
    assert not verifier.verify(APPROVAL_DOMAIN, *what, text, RISK.key_id), (
        "what has no place yet comes behind all"
    )


ROLES = {
    "risk": APPROVAL_DOMAIN,
    "operator": OPERATOR_DOMAIN,
    "console": OPERATOR_DOMAIN,
    "monitor": OPERATOR_DOMAIN,
}


def path_of(layout: StateLayout, role: str) -> Path:
    return layout.keys / f"{role}.key"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("left", [None, 0, 30])
def test_a_lost_or_cut_key_is_told_and_not_replaced(tmp_path: Path, role: str, left: int | None):
    installation = Installation(tmp_path)
    installation.signing_keys.expect_all()
    path = path_of(installation.layout, role)
    old = Signer.load(ROLES[role], path, role)
    whole = path.read_text()
    if left is None:
        path.unlink()
    else:
        path.write_text(whole[:left])
    # Who only reads goes on; who would sign is told what mends it.
    again = Installation(tmp_path)
    with pytest.raises(UnusableKey, match=f"{path.name}.* rotate {role}") as error:
        again.signing_keys.expect_all()
    assert not left or whole[:left] not in str(error.value)
    assert path.exists() == (left is not None)
    assert [row["state"] for row in again.signing_keys.rows() if row["role"] == role] == ["lost"]
    new = again.signing_keys.rotate(role, 7)
    again.signing_keys.expect_all()
    assert [(row["key_id"], row["last_seq"]) for row in again.signing_keys.rows() if row["role"] == role] == [
        (old.key_id, 7),
        (new, None),
    ]


def test_a_file_of_public_keys_without_verbs_means_everything_for_the_operator_alone(tmp_path: Path):
    """As earlier builds wrote it; a start adds the console's key with its verbs, and changes no other."""
    layout = Installation(tmp_path).layout
    written = json.loads(layout.public_keys.read_text())
    console = next(key_id for key_id in written if key_id.startswith("console-"))
    operator = next(key_id for key_id in written if key_id.startswith("operator-"))
    assert written[console]["says"] == list(CONSOLE_VERBS)
    monitor = next(key_id for key_id in written if key_id.startswith("monitor-"))
    assert written[monitor]["says"] == ["halt"]
    old = {key_id: key for key_id, key in written.items() if key_id not in (console, monitor)}
    assert all(isinstance(key, str) for key in old.values())
    layout.public_keys.write_text(json.dumps(old | {console: written[console]["key"]}))
    verifier = Verifier.load(layout.public_keys)
    assert verifier.may_say(operator, "skip")
    assert not verifier.may_say(console, "halt")
    layout.public_keys.write_text(json.dumps(old))
    layout.console_key.unlink()
    made = Installation(tmp_path).signing_keys
    verifier = Verifier.load(layout.public_keys)
    key_id = made.signer("console").key_id
    assert [verb for verb in Verb if verifier.may_say(key_id, verb)] == [
        v for v in Verb if v is not Verb.SKIP
    ]
    # What an operator takes from a key stays taken.
    narrowed = json.loads(layout.public_keys.read_text())
    narrowed[operator] = {"key": narrowed[operator], "says": ["halt"]}
    layout.public_keys.write_text(json.dumps(narrowed))
    rows = {row["key_id"]: row["says"] for row in Installation(tmp_path).signing_keys.rows()}
    assert rows[operator] == ("halt",)
    assert not Verifier.load(layout.public_keys).may_say(operator, "resume")


@pytest.mark.parametrize("role", ROLES)
def test_a_rotated_key_signs_and_the_one_before_counts_for_what_it_signed(tmp_path: Path, role: str):
    keys, layout = Installation(tmp_path).signing_keys, Installation(tmp_path).layout
    signers = [Signer.load(ROLES[role], path_of(layout, role), role)]
    for last_seq in (10, 20):
        keys.rotate(role, last_seq)
        signers.append(Signer.load(ROLES[role], path_of(layout, role), role))
    Installation(tmp_path).signing_keys.expect_all()
    verifier = Verifier.load(layout.public_keys)
    what = ("t", "s", "m", b"p")
    believed = [
        [verifier.verify(ROLES[role], *what, signer.sign(*what), signer.key_id, seq) for signer in signers]
        for seq in (10, 20, 21)
    ]
    assert believed == [[True, True, True], [False, True, True], [False, False, True]]
    taken = retired_file(layout.public_keys).rename(tmp_path / "taken")
    with pytest.raises(UnusableKey, match=r"expected every former key of .* put .*retired\.json back"):
        Installation(tmp_path).signing_keys.expect_all()
    taken.rename(retired_file(layout.public_keys))
    # The tape lost what followed its message 5, and uses the sequences again.
    keys.tape_ends_at(5)
    verifier = Verifier.load(layout.public_keys)
    assert not verifier.verify(ROLES[role], *what, signers[0].sign(*what), signers[0].key_id, 6)
    assert not [
        path for path in layout.keys.iterdir() if path.stat().st_mode & OWNER_ONLY and path.suffix == ".key"
    ]


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_rotation_that_a_crash_broke_off_is_done_again(
    tmp_path: Path, writes: int, monkeypatch: pytest.MonkeyPatch
):
    """It dies before its first write of a file of public things, before the second, and before none."""
    keys, layout = Installation(tmp_path).signing_keys, Installation(tmp_path).layout
    old = Signer.load(OPERATOR_DOMAIN, layout.operator_key)
    whole = write_atomically
    done: list[Path] = []

    def dying(path: Path, content: bytes) -> None:
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(path)
        whole(path, content)

    monkeypatch.setattr(signing_keys, "write_atomically", dying)
    with contextlib.suppress(KeyboardInterrupt):
        keys.rotate("operator", 10)
    monkeypatch.setattr(signing_keys, "write_atomically", whole)
    # With the new key in place and the old one good without an end, nothing is started.
    refused = pytest.raises(UnusableKey, match="to be retired") if writes == 1 else contextlib.nullcontext()
    with refused:
        Installation(tmp_path).signing_keys.expect_all()
    keys.rotate("operator", 10)
    Installation(tmp_path).signing_keys.expect_all()
    new = Signer.load(OPERATOR_DOMAIN, layout.operator_key)
    verifier = Verifier.load(layout.public_keys)
    what = ("t", "s", "m", b"p")
    assert not verifier.verify(OPERATOR_DOMAIN, *what, old.sign(*what), old.key_id, 11)
    assert verifier.verify(OPERATOR_DOMAIN, *what, old.sign(*what), old.key_id, 10)
    assert verifier.verify(OPERATOR_DOMAIN, *what, new.sign(*what), new.key_id, 11)
    assert {path.name for path in layout.keys.iterdir() if path.suffix != ".json"} >= {
        "operator.key",
        "risk.key",
    }
    assert not list(layout.keys.glob("*.new"))


@pytest.mark.parametrize("name", ["public.json", "retired.json"])
@pytest.mark.parametrize("left", [0, 20])
def test_a_cut_file_of_public_keys_is_named_and_left_alone(tmp_path: Path, name: str, left: int):
    installation = Installation(tmp_path)
    installation.signing_keys.rotate("risk", 1_000)
    path = installation.layout.keys / name
    whole = path.read_text()
    path.write_text(whole[:left])
    with pytest.raises(UnusableKey, match=name):
        Installation(tmp_path)
    assert path.read_text() == whole[:left]


# --- a running system gives no secret away ------------------------------------------------------------


class Secrets:
    """Every secret of an installation, in the forms in which it could slip out."""

    def __init__(self, installation: Installation) -> None:
        layout = installation.layout
        self.found: dict[str, set[str]] = {}
        self._needles: dict[str, tuple[bytes, ...]] = {}
        for user in USERS:
            password = layout.password(user)
            self._needles[f"password of {user}"] = (password.encode(), password.encode().hex().encode())
        for path in (layout.operator_key, layout.risk_key):
            raw = bytes.fromhex(path.read_text())
            self._needles[path.name] = (raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="))

    def search(self, place: str, data: bytes) -> None:
        """Note every secret that is in ``data``."""
        for name, needles in self._needles.items():
            if any(needle in data for needle in needles):
                self.found.setdefault(place, set()).add(name)


def files_of(root: Path) -> Iterator[Path]:
    """Every regular file below ``root``."""
    yield from (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def search_files(secrets: Secrets, root: Path) -> None:
    for path in files_of(root):
        try:
            secrets.search(str(path.relative_to(root)), path.read_bytes())
        except FileNotFoundError:
            continue  # a temporary file of a server that runs


def search_status_pages(secrets: Secrets, system: System) -> None:
    ports = json.loads(system.installation.layout.run_file.read_bytes())["metrics_ports"]
    assert set(ports) == {SUPERVISOR, *SERVICES}
    for service, port in ports.items():
        for page in ("metrics", "healthz", "readyz"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=PATIENCE_S) as answer:
                data = answer.read()
            assert data
            secrets.search(f"/{page} of {service}", data)


async def search_journal(secrets: Secrets, dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'journal'"
        )
        assert tables
        for table in tables:
            rows = await connection.fetch(f"SELECT t::text AS row FROM {table['name']} t")
            secrets.search(table["name"], "\n".join(row["row"] for row in rows).encode())
        assert await connection.fetchval("SELECT count(*) FROM journal.entry")
    finally:
        await connection.close()


def search_processes(secrets: Secrets, system: System) -> None:
    """What any user of the machine may read of a process, and what its children inherit."""
    pids = [child.pid for child in system.supervisor.children.values()] + [system.installation.broker.pid]
    for pid in pids:
        for part in ("cmdline", "environ"):
            secrets.search(f"{part} of {pid}", Path(f"/proc/{pid}/{part}").read_bytes())


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.fault
@pytest.mark.timeout(900)
@pytest.mark.asyncio
async def test_no_secret_is_in_logs_tape_metrics_journal_or_files_of_others(tmp_path: Path):
    recording = synthetic_recording(tmp_path, minutes=4)
    state = tmp_path / "state"
    async with running(Options(state, recordings=[recording], speed=3.0), BUSY) as (system, tape):
        broker = system.installation.broker
        await tape.wait(lambda t: len(t.of(Ack)) >= 2)
        # Refusals, a wrong password and a crash are what makes programs talkative.
        async with RawClient(broker.port, "feed", broker.passwords["feed"]) as intruder:
            intruder.publish("risk.approval.x", b"x")
            await intruder.settle()
        with pytest.raises((AssertionError, ConnectionError)):
            async with RawClient(broker.port, "feed", "wrong"):
                pass
        kill(system, "signal")
        await tape.wait(lambda t: [s.service for s in t.of(Started)].count("signal") == 2)

        secrets = Secrets(system.installation)
        # In a thread: the supervisor answers from this loop.
        await asyncio.to_thread(search_status_pages, secrets, system)
        search_processes(secrets, system)
        for record in await read_all(system):
            secrets.search("the tape", repr((record.subject, record.headers)).encode() + record.payload)
        secrets.search("health reports", json.dumps(system.reports.latest).encode())
        secrets.search("the summary", json.dumps(system.summary.document(), default=str).encode())
        await search_journal(secrets, system.installation.layout.read_run().database_url)
    search_files(secrets, state)

    # Only the files that are there to hold them, each its owner's alone: so the search does find things.
    holders = {"broker/nats.conf", "keys/operator.key", "keys/risk.key"}
    holders |= {f"broker/credentials/{user}" for user in USERS}
    assert secrets.found.keys() == holders
    for name in holders:
        assert not (state / name).stat().st_mode & OWNER_ONLY, name
        assert name == "broker/nats.conf" or not (state / name).parent.stat().st_mode & OWNER_ONLY, name
