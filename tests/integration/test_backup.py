"""Backup and restore: of what was played and of a system that trades; damage is found, a copy replays to the same."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from libs.database.embedded import EmbeddedPostgres
from libs.keys.venues.sealed import seal
from proto.units import SECOND
from services.journal.archiver import Archiver
from services.journal.shell import TapeSource, anchors_path
from services.journal.writer import JournalWriter
from tests.support.cluster import with_cluster
from tests.support.played import Played, played_in
from tools.backup.backup import make_backup
from tools.backup.repository import repository_of
from tools.backup.retention import backups_in, prune
from tools.backup.state_files import KEPT, LEFT_OUT
from tools.cli.app import app
from tools.cli.commands.tape import history_of
from tools.exit_codes import FAILED, USAGE
from tools.system.installation import tape_access

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow]

SEGMENT = 400


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result


def document(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return found


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """With its database, a part of the archive, and venue keys of both kinds."""
    found = played_in(tmp_path_factory)
    (found.state / "journal" / "anchors.jsonl").unlink()
    asyncio.run(_archive_and_journal(found.state))
    (found.state / "keys" / "venues").mkdir()
    (found.state / "keys" / "feed").mkdir()
    (found.state / "keys" / "venues" / "manifold.json").write_bytes(
        seal(b"secret", b"pass", "manifold", 2**4)
    )
    (found.state / "keys" / "feed" / "kalshi.pem").write_text("-----BEGIN PRIVATE KEY-----")
    return found


async def _archive_and_journal(state: Path) -> None:
    database = EmbeddedPostgres(with_cluster(state / "postgres"))
    async with tape_access(state) as (installation, link):
        layout = installation.layout
        archiver = Archiver(link, layout.archive, "t", segment_seq=SEGMENT, settled_seq=0)
        while await archiver.archive_next():
            pass
        source = TapeSource(link, archiver.archive)
        writer = JournalWriter(
            await asyncio.to_thread(database.start), layout.read_run().tape, anchors_path(layout)
        )
        first, last = await source.window()
        await writer.resume(first, last, source.read)
        await writer.append(await source.read(first, last))
        await writer.anchor()
        await writer.close()
        await source.close()
    database.stop()


def test_what_is_restored_replays_to_the_same_and_signs_with_other_keys(
    played: Played, tmp_path: Path
) -> None:
    place, state = str(tmp_path / "backups"), tmp_path / "restored"
    made = document("backup", place, "--state", str(played.state))
    assert made["last_seq"] == played.summary["tape_last_seq"]
    assert made["segments"] >= 2
    assert made["journal_rows"] > 100
    assert made["left_out"] == [
        "keys/console.key",
        "keys/feed/kalshi.pem",
        "keys/monitor.key",
        "keys/operator.key",
        "keys/risk.key",
    ]
    assert document("backup", place, "--list")["backups"] == [
        {name: value for name, value in made.items() if name not in ("removed", "text")}
    ]
    assert "as it was written" in run("restore", place, "--check").stdout
    document("restore", place, "--state", str(state))
    assert _records(state) == _records(played.state)
    before, after = (document("replay", "--state", str(root)) for root in (played.state, state))
    assert after["identical"]
    assert {name: after[name] for name in ("messages", "compared", "to")} == {
        name: before[name] for name in ("messages", "compared", "to")
    }
    assert document("archive", "verify", "--state", str(state))["sound"]
    assert document("journal", "verify", "--state", str(state))["sound"]
    keys = document("keys", "list", "--state", str(state))["signing"]
    assert sorted((row["role"], row["state"]) for row in keys) == sorted(
        (role, held) for role in ("console", "monitor", "operator", "risk") for held in ("retired", "current")
    )
    assert (state / "keys" / "venues" / "manifold.json").read_bytes().startswith(b"{")
    # What was traded after the backup is not known here: a start is another epoch, and halted.
    tape, is_new = asyncio.run(_opened(state))
    assert (tape, is_new, (state / "HALT").exists()) == (f"{made['tape']}e1", True, True)
    run("restore", place, "--state", str(state), code=USAGE)


async def _opened(state: Path) -> tuple[str, bool]:
    """As the next start opens the tape."""
    async with tape_access(state) as (installation, link):
        return await installation.open_tape(link)


def _records(state: Path) -> list[Any]:
    async def read() -> list[Any]:
        async with tape_access(state) as (installation, link):
            return [record async for record in history_of(installation, link).records()]

    return asyncio.run(read())


def test_damage_is_found_wherever_it_is(played: Played, tmp_path: Path) -> None:
    place = tmp_path / "backups"
    run("backup", str(place), "--state", str(played.state))
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    assert len(files) > 6
    for path in files:
        content = path.read_bytes()
        position = len(content) // 2
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        run("restore", str(place), "--check", code=FAILED)
        path.write_bytes(content)
    run("restore", str(place), "--check")
    for path in files:
        aside = path.rename(tmp_path / "aside")
        assert CliRunner().invoke(app, ["restore", str(place), "--check"]).exit_code in (FAILED, USAGE)
        aside.rename(path)
    run("restore", str(place), "--state", str(tmp_path / "new"), "20260101T000000Z-x-1", code=USAGE)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["folder", "object store"])
def test_backups_share_segments_and_only_the_newest_stay(played: Played, tmp_path: Path, kind: str) -> None:
    (tmp_path / "backups").mkdir()
    place = str(tmp_path / "backups") if kind == "folder" else (tmp_path / "backups").as_uri()
    repository = repository_of(place)
    now_ns = time.time_ns()
    first, made = (
        asyncio.run(make_backup(played.state, repository, made_at=now_ns + number * SECOND))
        for number in range(2)
    )
    names = [first.name, made.name]
    sizes = repository.sizes()
    assert sum(name.startswith("archive/") for name in sizes) == len(made.segments) >= 2
    strange = tmp_path / "strange"
    strange.write_text("x")
    repository.put("20200101T000000Z-t-1/TAPE.stream", strange)
    repository.put("notes/readme", strange)
    repository.put("archive/other/0000000000000001-0000000000000002.segment", strange)
    assert prune(repository, 1, now_ns) == [names[0], "20200101T000000Z-t-1"]
    left = repository.sizes()
    assert backups_in(repository) == [names[1]]
    assert {name.partition("/")[0] for name in left} == {names[1], "archive", "notes"}
    assert {name for name in left if name.startswith("archive/")} == {
        segment.name for segment in made.segments
    }
    run("restore", place, "--check")


def test_every_file_of_a_state_directory_is_copied_or_left_out_for_a_reason(played: Played) -> None:
    assert {path.name for path in played.state.iterdir()} <= {*KEPT, *LEFT_OUT}
    assert not {*KEPT} & {*LEFT_OUT}
