"""Opening the tape at a start, and what a start leaves behind that gets no further."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.backup.restore import RESTORED
from tools.system import installation as module
from tools.system.installation import Installation


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changed", "why"),
    [({"boot": "another"}, "the machine went down"), ({"last_seq": 9}, "the tape lost its tail")],
)
async def test_a_new_epoch_is_halted_even_when_the_start_gets_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], why: str
) -> None:
    async def state(_: Any) -> dict[str, Any]:
        return {"last_seq": 7}

    monkeypatch.setattr(module, "stream_state", state)
    link = SimpleNamespace(client=None)
    installation = Installation(tmp_path / "state")
    layout = installation.layout
    await installation.open_tape(link)
    assert not layout.halt_file.exists()
    known = layout.read_tape()
    assert known is not None
    layout.write_tape(known | changed)
    assert (await installation.open_tape(link))[1]
    # That start ends here, and the next one finds a tape that is in order.
    assert not (await Installation(tmp_path / "state").open_tape(link))[1]
    assert layout.halt_file.read_text() == f"new epoch: {why}"


@pytest.mark.asyncio
async def test_a_backup_restored_into_a_cluster_begins_a_new_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def state(_: Any) -> dict[str, Any]:
        return {"last_seq": 7}

    async def nodes(_: Installation) -> list[str]:
        return ["a", "b", "c"]

    monkeypatch.setattr(module, "stream_state", state)
    monkeypatch.setattr(Installation, "_nodes", nodes)
    installation = Installation(tmp_path / "state")
    installation.is_cluster = True
    await installation.open_tape(SimpleNamespace(client=None))
    known = installation.layout.read_tape()
    assert known is not None
    assert not (await installation.open_tape(SimpleNamespace(client=None)))[1]
    # The same nodes run on, and the tape in them is that of a backup.
    installation.layout.write_tape(known | {"boot": RESTORED})
    assert (await installation.open_tape(SimpleNamespace(client=None)))[1]
    assert installation.layout.halt_file.exists()
