"""``presage keys`` as an operator uses it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from libs.keys.venues.kinds import EthereumKey
from libs.keys.venues.passphrase import FILE_VARIABLE
from libs.keys.venues.store import address_of
from tests.support.paths import ROOT
from tools.cli.app import app
from tools.exit_codes import FAILED, USAGE

PASSPHRASE = "correct horse battery"
SECRET = "7b" * 32
ADDRESS = address_of(EthereumKey.parse(SECRET))


def presage(state: Path, *arguments: str, given: str = "") -> Result:
    (state.parent / "passphrase").write_text(PASSPHRASE)
    (state.parent / "passphrase").chmod(0o600)
    environment = {FILE_VARIABLE: str(state.parent / "passphrase")}
    return CliRunner().invoke(app, ["keys", *arguments, "--state", str(state)], input=given, env=environment)


def test_a_key_is_added_listed_and_removed_without_ever_being_shown(tmp_path: Path):
    state = tmp_path / "state"
    added = presage(state, "add", "polymarket", given=f"0x{SECRET}\n")
    assert added.exit_code == 0, added.stderr
    assert not [path for path in (state / "keys").rglob("*") if path.stat().st_mode & 0o077]
    assert not (state / "keys").stat().st_mode & 0o077
    listed = presage(state, "list", "--json")
    assert json.loads(listed.stdout)["trading"] == {"polymarket": "encrypted"}
    assert ADDRESS in listed.stdout
    assert ADDRESS in presage(state, "list").stdout
    unasked = presage(state, "remove", "polymarket")
    assert (unasked.exit_code, "expected --yes" in unasked.stderr) == (USAGE, True)
    removed = presage(state, "remove", "polymarket", "--yes")
    assert removed.stdout == "polymarket: removed\n"
    nothing = presage(state, "remove", "polymarket", "--yes")
    assert (nothing.exit_code, "was none" in nothing.stderr) == (USAGE, True)
    assert "no keys" in presage(state, "list").stdout
    said = added.stdout + added.stderr + listed.stdout + removed.stdout
    assert SECRET not in said
    assert PASSPHRASE not in said


def test_an_exported_key_opens_again_and_takes_no_other_files_place(tmp_path: Path):
    state, copy, plain = tmp_path / "state", tmp_path / "copy.json", tmp_path / "plain"
    assert presage(state, "add", "polymarket", given=SECRET).exit_code == 0
    done = presage(state, "export", "polymarket", str(copy))
    assert done.exit_code == 0, done.stderr
    assert ADDRESS in done.stdout
    assert SECRET not in copy.read_text()
    assert not copy.stat().st_mode & 0o077
    again = presage(state, "export", "polymarket", str(copy))
    assert again.exit_code == FAILED
    assert f"expected {copy} not to be there yet" in again.stderr
    assert presage(state, "export", "polymarket", str(plain), "--plain").exit_code == 0
    assert presage(tmp_path / "other", "add", "polymarket", given=plain.read_text()).exit_code == 0
    assert ADDRESS in presage(tmp_path / "other", "list").stdout
    # A keystore put in its place by hand is the same key.
    (tmp_path / "third" / "keys" / "venues").mkdir(parents=True, mode=0o700)
    copy.rename(tmp_path / "third" / "keys" / "venues" / "polymarket.json")
    assert ADDRESS in presage(tmp_path / "third", "list").stdout
    nothing = presage(state, "export", "manifold", str(tmp_path / "m"))
    assert (nothing.exit_code, "was none" in nothing.stderr) == (USAGE, True)


def test_a_new_signer_is_made_once(tmp_path: Path):
    state = tmp_path / "state"
    made = presage(state, "new", "polymarket", "--json")
    assert made.exit_code == 0, made.stderr
    assert len(json.loads(made.stdout)["address"]) == 42
    again = presage(state, "new", "polymarket")
    assert again.exit_code == 2
    assert "remove it first" in again.stderr


def test_where_nobody_can_be_asked_the_file_is_named(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "tools.cli",
        "keys",
        "add",
        "polymarket",
        "--state",
        str(tmp_path / "state"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != FILE_VARIABLE}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        input=f"{SECRET}\n",
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=150,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (USAGE, 1), done.stderr
    assert FILE_VARIABLE in done.stderr


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path):
    state = tmp_path / "state"
    for arguments, given, expected in (
        (("add", "binance"), "", "expected one of kalshi, polymarket, manifold, was 'binance'"),
        (("add", "polymarket"), "12\n", "expected 32 bytes in hexadecimal"),
        (("add", "kalshi"), "", "expected --pem FILE and --key-id ID"),
        (("new", "kalshi"), "", "its keys are made on its website"),
    ):
        said = presage(state, *arguments, given=given)
        assert said.exit_code == 2, said.stderr
        assert expected in said.stderr
        assert said.stderr.count("\n") == 1
