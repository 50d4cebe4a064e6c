"""A real Prometheus over some status ports, for tests to ask; Debian's package `prometheus` has it."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from libs.tape.broker import free_port

SCRAPE = "1s"
STOP_S = 10
NOT_READY = 503


def needed(command: str) -> str:
    """The path of ``prometheus`` or ``promtool``; the test is skipped, and says so, without it."""
    found = shutil.which(command)
    if found is None:
        pytest.skip(f"expected {command} (Debian: apt install prometheus), was none")
    return found


class Prometheus:
    """Scrapes each process once a second, with the label ``process`` as in ``deploy/prometheus``."""

    def __init__(self, folder: Path, ports: Mapping[str, int]) -> None:
        self._folder = folder
        self._ports = ports
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir()
        config = {
            "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE},
            "scrape_configs": [
                {
                    "job_name": "presage",
                    "static_configs": [
                        {"targets": [f"127.0.0.1:{port}"], "labels": {"process": name}}
                        for name, port in self._ports.items()
                    ],
                }
            ],
        }
        file = self._folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    needed("prometheus"),
                    f"--config.file={file}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, expression: str) -> list[Any]:
        """The series of a query; none while it does not answer yet.

        Raises:
            AssertionError: it ended, or refuses the query; the text says why.
        """
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-2_000:]
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._port}/api/v1/query?{query}", timeout=60
            ) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as e:
            with e:
                if e.code != NOT_READY:
                    raise AssertionError(f"{expression}: {e.read().decode()[:500]}") from e
            return []
        except OSError:
            return []
