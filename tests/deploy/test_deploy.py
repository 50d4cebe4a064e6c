"""``make deploy`` for real: to this machine, by a real ssh server on loopback. Takes minutes: ``make deploy-test`` runs it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.tape.broker import free_port
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_S

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
PORTS = 9
DEPLOY_TIMEOUT_S = 900

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not Path(SSHD).exists() or os.geteuid() != 0, reason="no sshd that this user may start"
    ),
]


def run(*arguments: str | Path, cwd: Path) -> str:
    return subprocess.run(arguments, cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter: root's database runs as another user, out of the deployed environment."""
    folder = Path(tempfile.mkdtemp(prefix="presage-deploy-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(tmp_path: Path, place: Path) -> Iterator[dict[str, str]]:
    """An ssh server of its own keys; what to set for reaching it."""
    for name in ("host", "user"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name, cwd=tmp_path)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    port = free_port()
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with (tmp_path / "sshd.log").open("w") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=log)
    options = f"-p {port} -i {tmp_path}/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    base = free_port()
    try:
        yield {
            "DEPLOY_SSH_OPTIONS": options,
            "DEPLOY_BASE": str(place / "base"),
            "DEPLOY_STATE": str(place / "state"),
            "DEPLOY_METRICS_PORT": str(base),
            "DEPLOY_PATIENCE_S": "180",
        }
    finally:
        process.terminate()
        process.wait()


def deploy(clone: Path, server: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "deploy", "HOST=root@127.0.0.1"],
        cwd=clone,
        env=os.environ | server,
        capture_output=True,
        text=True,
        timeout=DEPLOY_TIMEOUT_S,
        check=False,
    )


def commit(clone: Path, text: str) -> None:
    run(
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "-q",
        "-a",
        "-m",
        text,
        cwd=clone,
    )


def status(server: dict[str, str]) -> int:
    presage = Path(server["DEPLOY_BASE"]) / "current/.venv/bin/presage"
    return subprocess.run(
        [presage, "status", "--state", server["DEPLOY_STATE"]], capture_output=True, check=False
    ).returncode


def test_it_is_deployed_upgraded_and_rolled_back(tmp_path: Path, server: dict[str, str]) -> None:
    clone = tmp_path / "clone"
    run("git", "clone", "-q", ROOT, clone, cwd=tmp_path)
    current = Path(server["DEPLOY_BASE"]) / "current"
    try:
        done = deploy(clone, server)
        assert done.returncode == 0, done.stdout + done.stderr
        first = current.resolve()
        assert status(server) == 0
        (clone / "README.md").write_text("another\n")
        commit(clone, "Another build")
        done = deploy(clone, server)
        assert done.returncode == 0, done.stdout + done.stderr
        second = current.resolve()
        assert second != first
        assert (second / "README.md").read_text() == "another\n"
        (clone / "services/risk/__main__.py").write_text("raise SystemExit(1)\n")
        commit(clone, "A build that does not run")
        done = deploy(clone, server | {"DEPLOY_PATIENCE_S": "30"})
        assert done.returncode != 0
        assert "rolled back" in done.stderr, done.stdout + done.stderr
        assert current.resolve() == second
        assert status(server) == 0
        (clone / "README.md").write_text("not committed\n")
        assert "not committed" in deploy(clone, server).stderr
    finally:
        presage = current / ".venv/bin/presage"
        if presage.exists():
            subprocess.run(
                [presage, "stop", "--state", server["DEPLOY_STATE"]], check=False, capture_output=True
            )
            began = time.monotonic()
            while status(server) == 0 and time.monotonic() - began < PATIENCE_S:
                time.sleep(1)
