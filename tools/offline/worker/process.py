"""One job in a process of its own: what it takes is given back when it ends, and it can be ended at any moment."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from libs.bounded import clip

JOB_S_MAX = 3_600.0
"""A day of a busy tape takes minutes; after an hour something is wrong."""
LINE_BYTES_MAX = 4 << 20
"""Of one line that a job says; its result is the longest and is cut by the job itself."""
PROGRESS_EVERY_S = 0.5
"""Between two lines that say how far it is."""

Progress = Callable[[str, int, int], None]
"""Is told what a job is at, how far it is, and how far it goes."""


class JobFailed(Exception):
    """A job came to nothing; the text says why."""


async def run_job(root: Path, kind: str, body: Mapping[str, Any], tell: Progress) -> dict[str, Any]:
    """Run a job and wait for its result. When this is cancelled, so is the job.

    Raises:
        JobFailed: it failed, or took too long.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.offline.worker.job",
        "--state",
        str(root),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    try:
        async with asyncio.timeout(JOB_S_MAX):
            return await _follow(process, {"kind": kind, "body": dict(body)}, tell)
    except TimeoutError as e:
        raise JobFailed(f"expected an end within {JOB_S_MAX:.0f} s, was none") from e
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _follow(
    process: asyncio.subprocess.Process, request: Mapping[str, Any], tell: Progress
) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(json.dumps(request).encode())
        await process.stdin.drain()
        process.stdin.close()
    try:
        async for line in process.stdout:
            said = json.loads(line)
            if "result" in said:
                await process.wait()
                result: dict[str, Any] = said["result"]
                return result
            if "failed" in said:
                raise JobFailed(clip(str(said["failed"]), 400))
            tell(said["what"], said["done"], said["total"])
    except ValueError as e:
        raise JobFailed(f"expected lines of JSON, was {clip(str(e), 200)}") from e
    code = await process.wait()
    raise JobFailed(f"expected a result, was an end with {code}")
