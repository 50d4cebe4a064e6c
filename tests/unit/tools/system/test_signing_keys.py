"""A folder of keys that an earlier build made, mounted for reading alone."""

import errno
import os
from pathlib import Path

import pytest

from libs.keys.signing import Signer, UnusableKey
from libs.runtime.layout import StateLayout
from tools.system import signing_keys
from tools.system.signing_keys import SigningKeys

AGAIN = r"`presage bootstrap --state DIR --kubernetes FOLDER` again .*, then apply"


def refuse(number: int):
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refused


def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *missing: str) -> SigningKeys:
    """Keys of a state directory without some files, that from now on takes nothing."""
    monkeypatch.setenv("PRESAGE_SIGNING_KEYS_DIR", str(tmp_path / "mounted"))
    layout = StateLayout(tmp_path / "state")
    layout.prepare()
    SigningKeys(layout).prepare()
    for name in missing:
        (layout.keys / name).unlink()
    if "public.json" in missing:
        layout.public_keys.write_text("{}")
    monkeypatch.setattr(Signer, "create", refuse(errno.EROFS))
    monkeypatch.setattr(signing_keys, "write_atomically", refuse(errno.EROFS))
    return SigningKeys(layout)


@pytest.mark.parametrize(
    ("missing", "named"), [(("monitor.key", "public.json"), "monitor.key"), (("public.json",), "public.json")]
)
def test_a_key_that_cannot_be_made_is_named_with_what_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], named: str
):
    keys = mounted(tmp_path, monkeypatch, *missing)
    with pytest.raises(UnusableKey, match=f"expected .*{named}.*{AGAIN}"):
        keys.prepare()


def test_a_whole_folder_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mounted(tmp_path, monkeypatch).prepare()


def test_a_full_disk_is_no_folder_of_an_earlier_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keys = mounted(tmp_path, monkeypatch, "monitor.key", "public.json")
    monkeypatch.setattr(Signer, "create", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        keys.prepare()
