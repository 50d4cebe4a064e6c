"""Two commands that read the database of a system that does not run."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from libs.database.embedded import DatabaseInUse
from tests.support.paths import ROOT
from tools.system.installation import Installation, database_access

pytestmark = [pytest.mark.postgres]

HOLDER = """
import asyncio, sys
from pathlib import Path
import asyncpg
from tools.system.installation import Installation, database_access
async def hold():
    async with database_access(Installation(Path(sys.argv[1]))) as dsn:
        connection = await asyncpg.connect(dsn)
        print("holds", flush=True)
        sys.stdin.readline()
        print(await connection.fetchval("select 42"), flush=True)
        await connection.close()
asyncio.run(hold())
"""


async def take(root: Path) -> None:
    async with database_access(Installation(root)):
        pass


def test_a_second_command_is_refused_and_takes_nothing_from_the_first(tmp_path: Path):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"holds\n"
        with pytest.raises(DatabaseInUse, match=f"was in use by process {first.pid}"):
            asyncio.run(take(tmp_path))
        answer, _ = first.communicate(b"\n", timeout=60)
        assert (answer, first.returncode) == (b"42\n", 0)
    finally:
        if first.poll() is None:
            first.kill()
        first.wait()
        for pipe in (first.stdin, first.stdout):
            if pipe is not None:
                pipe.close()
