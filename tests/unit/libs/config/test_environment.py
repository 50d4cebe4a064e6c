"""The environment: each variable has a type, and a wrong one is named."""

from pathlib import Path

import pytest

from libs.config.environment import ChildEnvironment, Environment
from libs.config.errors import ConfigError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Environment.variables(), *ChildEnvironment.variables()):
        monkeypatch.delenv(name, raising=False)


def test_without_variables_everything_is_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESAGE_KEYS_DIR", "")
    found = Environment.read()
    assert (str(found.state), found.keys_dir, found.nats_url) == ("state", None, "")
    assert ChildEnvironment.read().status_socket is None


def test_a_password_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESAGE_DATABASE_URL", "postgresql://presage:s3cr3t@db/presage")
    found = Environment.read()
    assert "s3cr3t" not in f"{found!r} {found} {found.model_dump_json()}"
    assert found.database_url.get_secret_value().startswith("postgresql://presage:s3cr3t@")


def test_a_mounted_file_gives_a_variable_its_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "presage_database_url").write_text("postgresql://presage:s3cr3t@db/presage\n")
    monkeypatch.setenv("PRESAGE_SECRETS_DIR", str(tmp_path))
    assert Environment.read().database_url.get_secret_value() == "postgresql://presage:s3cr3t@db/presage"
    monkeypatch.setenv("PRESAGE_DATABASE_URL", "postgresql://other/presage")
    assert Environment.read().database_url.get_secret_value() == "postgresql://other/presage"
    monkeypatch.setenv("PRESAGE_SECRETS_DIR", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="PRESAGE_SECRETS_DIR: expected a folder, was"):
        Environment.read()


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESAGE_RESTARTS", "-1")
    monkeypatch.setenv("PRESAGE_STATUS_SOCKET", "one")
    with pytest.raises(ConfigError) as caught:
        ChildEnvironment.read()
    assert [problem.key for problem in caught.value.problems] == ["PRESAGE_STATUS_SOCKET", "PRESAGE_RESTARTS"]
    assert "PRESAGE_RESTARTS: expected greater than or equal to 0, was '-1'" in str(caught.value)
