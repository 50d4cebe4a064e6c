"""With PRESAGE_NATS_URL and PRESAGE_DATABASE_URL the system uses the operator's servers, not its own."""

from pathlib import Path

import pytest

from libs.tape.broker import Broker
from proto.feed import Played
from tests.support.harness import running, synthetic_recording
from tools.system.options import Options


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.asyncio
async def test_a_run_on_servers_that_are_not_ours(
    tmp_path: Path, empty_database: str, broker_type: type[Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    broker = broker_type(theirs)
    broker.start()
    await broker.ready()
    monkeypatch.setenv("PRESAGE_NATS_URL", broker.url)
    monkeypatch.setenv("PRESAGE_NATS_CREDENTIALS", str(theirs / "credentials"))
    monkeypatch.setenv("PRESAGE_DATABASE_URL", empty_database)
    recording = synthetic_recording(tmp_path, minutes=1)
    try:
        options = Options(state=tmp_path / "state", recordings=[recording], speed=60.0)
        async with running(options) as (system, tape):
            await tape.wait(lambda t: bool(t.of(Played)))
            assert system.installation.broker.process is None
            assert system.installation.database.pid is None
        # Their broker goes on.
        await broker.ensure_streams()
    finally:
        broker.stop()
