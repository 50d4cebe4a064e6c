"""The state directory's own files: read as they were written, or refused by name; and whose they are to read."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.runtime.layout import RunFile, StateFileError, StateLayout
from libs.tape.broker import Broker
from libs.tape.errors import TapeError

TAPE = {"tape": "a1b2c3d4", "base": "a1b2c3d4", "epoch": 0, "last_seq": 17, "boot": ""}
READERS: dict[str, Callable[[StateLayout], Any]] = {
    "tape.json": StateLayout.read_tape,
    "run.json": StateLayout.read_run,
    "servers.json": StateLayout.read_servers,
}


@pytest.fixture
def layout(tmp_path: Path) -> StateLayout:
    found = StateLayout(tmp_path)
    found.prepare()
    found.write_tape(TAPE)
    found.write_run(RunFile(broker_url="nats://127.0.0.1:1", tape="a1b2c3d4"))
    found.servers_file.write_text('{"broker": "running", "stopping": false}')
    return found


@pytest.mark.parametrize("name", READERS)
def test_a_file_cut_anywhere_is_refused_by_its_name(layout: StateLayout, name: str) -> None:
    path = layout.root / name
    whole = path.read_bytes()
    assert READERS[name](layout), "the control"
    for left in range(len(whole)):
        path.write_bytes(whole[:left])
        with pytest.raises(StateFileError, match=f"expected .*{name}"):
            READERS[name](layout)


@pytest.mark.parametrize("content", [b"[]", b"7", b"null", b"{}", b'"x"', b"\xff\xfe", b'{"tape": 1}'])
@pytest.mark.parametrize("name", ["tape.json", "run.json"])
def test_a_file_that_holds_something_else_is_refused(layout: StateLayout, name: str, content: bytes) -> None:
    (layout.root / name).write_bytes(content)
    with pytest.raises(StateFileError, match=name):
        READERS[name](layout)


def test_logs_frames_and_anchors_are_their_owners(layout: StateLayout) -> None:
    for folder in (layout.keys, layout.logs, layout.frames, layout.journal, layout.claims):
        folder.chmod(0o755)
    layout.prepare()
    for folder in (layout.keys, layout.logs, layout.frames, layout.journal, layout.claims):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_the_run_which_may_have_the_databases_password_is_its_owners(layout: StateLayout) -> None:
    assert stat.S_IMODE(layout.run_file.stat().st_mode) == 0o600


def test_a_broker_without_its_port_or_a_users_password_is_refused_by_the_files_name(tmp_path: Path) -> None:
    layout = StateLayout(tmp_path)
    layout.prepare()
    Broker(layout.broker)
    (layout.broker / "port").write_text("")
    with pytest.raises(TapeError, match=r"expected a port in .*port"):
        Broker(layout.broker)
    (layout.broker / "port").unlink()
    (layout.broker / "credentials" / "risk").write_text("")
    with pytest.raises(TapeError, match=r"expected a password in .*risk"):
        Broker(layout.broker)
    with pytest.raises(StateFileError, match=r"expected a password in .*risk"):
        layout.password("risk")
