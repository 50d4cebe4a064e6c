"""What a service that runs elsewhere is given: its own, and nobody else's."""

import stat
from pathlib import Path

import pytest

from libs.keys.signing import retired_file
from libs.runtime.layout import RunFile, StateLayout
from proto.subjects import CONSOLE, MACHINE_ORDER
from tools.system.installation import Installation
from tools.system.shares import SHARED, Shares
from tools.system.signing_keys import SigningKeys

SECRET_URL = "postgresql://presage:secret@database/presage"
RUN = RunFile(
    broker_url="nats://broker:4222",
    tape="abcd",
    database_url=SECRET_URL,
    venues={"kalshi": {"rest_url": "http://sandbox:1"}},
    strategies=["momentum"],
    supervisor_pid=7,
    archive_keep_days=3,
)
KEYS = {"kalshi": {"kalshi.pem": "PEM", "kalshi.id": "id"}}


@pytest.fixture
def layout(tmp_path: Path) -> StateLayout:
    found = Installation(tmp_path / "state").layout
    found.write_tape({"tape": "abcd", "base": "abcd", "epoch": 0, "last_seq": 900, "boot": "x"})
    return found


@pytest.fixture
def shares(tmp_path: Path) -> Shares:
    return Shares(tmp_path / "services")


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_each_service_has_its_own_password_and_keys_and_no_other(layout: StateLayout, shares: Shares):
    shares.hand_out(layout, RUN, KEYS)
    common = {"run.json", "tape.json", "keys/public.json"}
    own = {
        "risk": {"keys/risk.key"},
        CONSOLE: {"keys/console.key"},
        "monitor": {"keys/monitor.key"},
        "execution": {"sandbox-keys/kalshi.pem", "sandbox-keys/kalshi.id"},
        "feed": {"sandbox-keys/feed/kalshi.pem", "sandbox-keys/feed/kalshi.id"},
    }
    for service in SHARED:
        root = shares.of(service).root
        expected = common | own.get(service, set()) | {f"broker/credentials/{service}"}
        assert files_below(root) == expected, service
        secret = expected - {"keys/public.json"}
        assert all(stat.S_IMODE((root / name).stat().st_mode) == 0o600 for name in secret), service


def test_a_service_gets_the_part_of_the_run_that_it_needs(layout: StateLayout, shares: Shares):
    shares.hand_out(layout, RUN, KEYS)
    with_url = [name for name in SHARED if SECRET_URL in shares.of(name).run_file.read_text()]
    with_venues = [name for name in SHARED if shares.of(name).read_run().venues]
    assert with_url == ["journal"]
    assert with_venues == ["feed", "execution"]
    for service in SHARED:
        run = shares.of(service).read_run()
        assert (run.tape, run.supervisor_pid) == ("abcd", 0), (
            "nobody waits for a process of another container"
        )
        assert run.boot


def test_a_run_that_is_the_same_disturbs_nobody(layout: StateLayout, shares: Shares):
    assert shares.hand_out(layout, RUN, KEYS) == list(SHARED)
    before = {name: shares.of(name).run_file.stat().st_mtime_ns for name in SHARED}
    assert shares.hand_out(layout, RUN, KEYS) == []
    assert before == {name: shares.of(name).run_file.stat().st_mtime_ns for name in SHARED}


def test_only_who_is_concerned_gets_another_run(layout: StateLayout, shares: Shares):
    shares.hand_out(layout, RUN, KEYS)
    changed = RunFile(
        **{name: getattr(RUN, name) for name in RUN.__struct_fields__} | {"strategies": ["other"]}
    )
    assert shares.hand_out(layout, changed, KEYS) == ["signal"]


def test_only_services_with_a_directory_have_snapshots(layout: StateLayout, shares: Shares):
    shares.hand_out(layout, RUN, KEYS)
    before = sorted(path.name for path in shares.root.iterdir())
    assert len(shares.snapshots()) == len([m for m in MACHINE_ORDER if m != "advisor"])
    assert sorted(path.name for path in shares.root.iterdir()) == before


def test_a_rotated_key_reaches_everybody_and_begins_them_anew(layout: StateLayout, shares: Shares):
    shares.hand_out(layout, RUN, KEYS)
    SigningKeys(layout).rotate("risk", 900)
    assert shares.hand_out(layout, RUN, KEYS) == list(SHARED)
    assert shares.of("risk").risk_key.read_bytes() == layout.risk_key.read_bytes()
    for service in SHARED:
        own = shares.of(service).public_keys
        assert own.read_bytes() == layout.public_keys.read_bytes()
        assert retired_file(own).read_bytes() == retired_file(layout.public_keys).read_bytes()


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_cut_run_file_is_written_anew(layout: StateLayout, shares: Shares, content: bytes):
    shares.hand_out(layout, RUN, KEYS)
    shares.of("risk").run_file.write_bytes(content)
    assert shares.hand_out(layout, RUN, KEYS) == ["risk"]
    assert shares.of("risk").read_run().tape == "abcd"
