"""The venues' own clients beside ours: a process of their environment that tests ask (see tests/official)."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

PYTHON = ROOT / ".venv-clients" / "bin" / "python"
NEWER_PYTHON = ROOT / ".venv-clients-newer" / "bin" / "python"
"""Its clients want a newer Python, or hold what they need to one version each; see requirements-clients-newer.in."""
NODE_CLIENTS = ROOT / ".clients-node" / "node_modules" / "@polymarket" / "clob-client-v2"
CALL_S_MAX = 60.0
"""The longest call trades, waits for a settlement and trades again: seconds, on a busy machine."""


class OfficialClients:
    """Asks one process, which it starts at the first call. ``command`` answers as ``tests.official`` does."""

    def __init__(self, *command: str | Path) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def call(self, name: str, **arguments: Any) -> Any:
        """Have ``module.function`` of tests/official called."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                # The sandbox is on this machine, whatever the environment says of proxies.
                env=os.environ | {"NO_PROXY": "127.0.0.1,localhost"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": name, "with": arguments}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"raised": "the process ended"}')
        assert "raised" not in answer, f"expected {name} to be answered, it raised: {answer['raised']}"
        return answer["result"]

    async def act(self, name: str, **arguments: Any) -> Any:
        """Have it called while this loop serves the sandbox."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(self.call, name, **arguments), CALL_S_MAX)
        except TimeoutError:
            # Its answer would be taken for that of the next call.
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            process, self._process = self._process, None
            with process:
                process.kill()
