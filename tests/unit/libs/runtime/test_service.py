"""A service that no supervisor started: whose run it takes, and when it begins anew."""

import gc
import os
from pathlib import Path
from typing import Any

import pytest
import uvloop

from libs.runtime import service
from libs.runtime.boot import boot_id
from libs.runtime.layout import RunFile, StateLayout
from proto.subjects import ALL_SERVICES


class Opened(Exception):
    """The service went on to connect."""


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateLayout:
    found = StateLayout(tmp_path)
    found.prepare()

    def run(coroutine: Any) -> None:
        coroutine.close()
        raise Opened

    monkeypatch.setattr(uvloop, "run", run)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    return found


async def idle(_: service.Context) -> None:
    """Never reached."""


@pytest.mark.parametrize("boot", ["", boot_id()])
def test_a_run_of_this_boot_is_taken(layout: StateLayout, boot: str):
    layout.write_run(RunFile(broker_url="nats://127.0.0.1:1", tape="t", boot=boot))
    with pytest.raises(Opened):
        service.run_service("risk", idle, ["--state", str(layout.root)])


def test_a_run_from_before_the_machine_went_down_is_refused(layout: StateLayout, capfd):
    layout.write_run(RunFile(broker_url="nats://127.0.0.1:1", tape="t", boot="another"))
    assert service.run_service("risk", idle, ["--state", str(layout.root)]) == service.EXIT_FAILED
    assert "expected a run that began after the machine did" in capfd.readouterr().err


def test_another_run_file_is_noticed_and_a_cut_one_says_nothing(layout: StateLayout):
    run = RunFile(broker_url="nats://127.0.0.1:1", tape="t")
    layout.write_run(run)
    (layout.public_keys).write_text("{}")
    context = service.Context("risk", layout, layout.read_run(), None)
    assert not service._has_another_run(context)
    layout.run_file.write_text("{")
    assert not service._has_another_run(context)
    layout.run_file.unlink()
    assert not service._has_another_run(context)
    layout.write_run(RunFile(broker_url="nats://127.0.0.1:1", tape="te1"))
    assert service._has_another_run(context)


def test_nobody_on_the_way_to_an_order_steps_back():
    assert not {"feed", "signal", "risk", "execution"} & service.NICENESS.keys()
    assert set(ALL_SERVICES) >= service.NICENESS.keys()
