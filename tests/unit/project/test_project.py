"""The project's own description agrees with itself."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis.internal.conjecture import providers


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


def requirements(path: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {line for line in lines if line and not line.startswith("-")}


def test_dependencies_are_what_the_lock_is_made_of(root: Path, project: dict[str, Any]):
    extras = project["project"]["optional-dependencies"].values()
    declared = [*project["project"]["dependencies"], *(name for extra in extras for name in extra)]
    # An editable installation is part of running: it gives `presage` its place on the path.
    built_by = project["build-system"]["requires"]
    assert {*declared, *built_by} == requirements(root / "requirements.in")


def test_what_runs_needs_nothing_of_what_checks(root: Path, project: dict[str, Any]):
    checks = requirements(root / "requirements-dev.in") | requirements(root / "requirements-clients.in")
    shared = checks & requirements(root / "requirements.in")
    # The benchmark's bot runs on them, in the clients' environment.
    assert shared == {"uvloop", "websockets"}


LOCKS = (
    "requirements",
    "requirements-dev",
    "requirements-clients",
    "requirements-clients-newer",
    "requirements-peers",
)


@pytest.mark.parametrize("name", LOCKS)
def test_locks_pin_every_requirement_by_hash_and_name_no_address(root: Path, name: str):
    text = (root / f"{name}.txt").read_text()
    body = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    pins = [line for line in body if not line.startswith(" ")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+( ; .+)? \\", pin) for pin in pins), pins
    assert text.count("--hash=sha256:") >= len(pins)
    assert not re.search(r"https?://|file://", text)
    locked = {pin.partition("==")[0] for pin in pins}
    wanted = {re.split(r"[>=<]", line)[0].lower() for line in requirements(root / f"{name}.in")}
    assert wanted <= locked


def test_the_locks_of_one_environment_agree_where_they_overlap(root: Path):
    pins: dict[str, str] = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        for package, version in re.findall(r"^(\S+)==(\S+)", (root / name).read_text(), re.MULTILINE):
            assert pins.setdefault(package, version) == version, package


def test_every_ignored_rule_states_its_reason(root: Path):
    text = (root / "pyproject.toml").read_text()
    lists = re.findall(
        r"^(?:ignore|\"tests/\*\*\"|\"bench/\*\*\") = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL
    )
    entries = [line for block in lists for line in block.splitlines()]
    assert len(entries) > 20
    assert [line for line in entries if not re.search(r"# \S+", line)] == []


def test_warnings_are_errors_and_exceptions_state_their_reason(root: Path, project: dict[str, Any]):
    assert project["tool"]["pytest"]["ini_options"]["filterwarnings"][0] == "error"
    block = re.search(r"^filterwarnings = \[(.*?)\]$", (root / "pyproject.toml").read_text(), re.M | re.S)
    assert block is not None
    for line in block[1].splitlines():
        if line.strip().startswith(('"ignore', "'ignore")):
            assert "#" in line, line


def test_every_package_is_found_by_the_build(root: Path, project: dict[str, Any]):
    assert project["tool"]["setuptools"]["packages"]["find"]["include"] == [
        "proto*",
        "libs*",
        "services*",
        "sandbox*",
        "tools*",
    ]
    for name in ("proto", "libs", "services", "sandbox", "tools"):
        folders = {path.parent for path in (root / name).rglob("*.py") if "__pycache__" not in path.parts}
        assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_commands_of_the_makefile_explain_themselves(root: Path):
    text = (root / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (\S+)", text, re.MULTILINE))
    explained = set(re.findall(r"^([a-z-]+):.*#--", text, re.MULTILINE))
    assert phony == explained
    assert {"run", "test", "setup", "clients", "lint", "bench", "soak"} <= explained


@pytest.mark.skipif(os.environ.get("PRESAGE_SOAK") == "1", reason="a soak run searches")
def test_examples_of_properties_do_not_depend_on_what_else_was_loaded() -> None:
    assert len(providers._get_local_constants()) == 0
