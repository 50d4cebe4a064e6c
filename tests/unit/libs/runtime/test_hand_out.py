"""A service's part of a run over HTTP: only the operator's key can hand one out, and only files of a run."""

import contextlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.keys.signing import APPROVAL_DOMAIN, OPERATOR_DOMAIN, Signer, Verifier
from libs.keys.verbs import CONSOLE_VERBS
from libs.runtime.hand_out import HandOutRefused, files_of, seal, unseal, write
from libs.runtime.layout import RunFile, StateLayout
from proto.subjects import CONSOLE

SIGNER = Signer.generate(OPERATOR_DOMAIN)
VERIFIER = Verifier({SIGNER.key_id: SIGNER.public_key})
FILES = {"run.json": b"{}", "tape.json": b"{}", "sandbox-keys/feed/kalshi.pem": b"pem"}
SEALED = seal(SIGNER, "t", "feed", FILES)


def test_what_is_handed_out_arrives():
    assert unseal(VERIFIER, "feed", SEALED) == FILES


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_no_changed_byte_is_believed(position: int, difference: int):
    changed = SEALED[:position] + bytes([SEALED[position] ^ difference]) + SEALED[position + 1 :]
    with contextlib.suppress(HandOutRefused):
        assert unseal(VERIFIER, "feed", changed) == FILES


@pytest.mark.parametrize("length", [0, 1, len(SEALED) // 2, len(SEALED) - 1])
def test_what_is_cut_is_refused(length: int):
    with pytest.raises(HandOutRefused):
        unseal(VERIFIER, "feed", SEALED[:length])


def test_another_services_part_and_other_keys_are_refused():
    with pytest.raises(HandOutRefused, match="signed by the operator"):
        unseal(VERIFIER, "risk", SEALED)
    with pytest.raises(HandOutRefused, match="signed by the operator"):
        unseal(VERIFIER, "feed", seal(Signer.generate(OPERATOR_DOMAIN), "t", "feed", FILES))
    console = Signer.generate(OPERATOR_DOMAIN, CONSOLE)
    limited = Verifier({console.key_id: console.public_key}, says={console.key_id: CONSOLE_VERBS})
    with pytest.raises(HandOutRefused, match="signed by the operator"):
        unseal(limited, "feed", seal(console, "t", "feed", FILES))
    risk = Signer.generate(APPROVAL_DOMAIN)
    known = Verifier({risk.key_id: risk.public_key})
    with pytest.raises(HandOutRefused, match="signed by the operator"):
        unseal(known, "feed", seal(risk, "t", "feed", FILES))


@pytest.mark.parametrize(
    "name", ["HALT", "keys/public.json", "../run.json", "sandbox-keys/../keys/x", "/run.json", "broker/x"]
)
def test_no_other_file_can_be_handed_out(name: str):
    with pytest.raises(HandOutRefused, match="files of a run"):
        unseal(VERIFIER, "feed", seal(SIGNER, "t", "feed", {name: b"x"}))


def test_neither_passwords_nor_keys_leave_the_supervisor(tmp_path: Path):
    layout = StateLayout(tmp_path / "there")
    layout.prepare()
    layout.write_run(
        RunFile(
            broker_url="nats://b", tape="t", database_url="postgresql://presage:secret@d/presage", boot="x"
        )
    )
    (layout.keys / "risk.key").write_text("key")
    (layout.broker / "credentials").mkdir()
    (layout.broker / "credentials" / "risk").write_text("password")
    files = files_of(layout)
    assert set(files) == {"run.json"}
    assert b"secret" not in files["run.json"]
    here = StateLayout(tmp_path / "here")
    write(here, files)
    assert here.read_run() == RunFile(broker_url="nats://b", tape="t")
    assert msgspec.json.decode(files["run.json"]) == json.loads(here.run_file.read_text())
