"""What the environment says: variables ``PRESAGE_<NAME>``, each a field. An empty one counts as none.

Secrets come as files that the platform mounts, or in an address; both are hidden wherever settings are shown.
"""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from libs.bounded import clip
from libs.config.errors import ConfigError, Problem
from libs.config.zone import named_zone

PREFIX = "PRESAGE_"
SHOWN_CHARACTERS_MAX = 40
ADDRESS_PATTERN = r"^$|^[^\s:]+:[0-9]{1,5}$"

Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(lambda text: str(text).upper())
]


def _known_zone(name: str) -> str:
    if name:
        named_zone(name)
    return name


Zone = Annotated[str, AfterValidator(_known_zone)]


class Variables(BaseSettings):
    """Base of the settings that come from the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a file .env is nobody's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - its folder is fixed
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read variables, then mounted files."""
        folder = os.environ.get(variable("secrets_dir")) or None
        if folder is not None and not Path(folder).is_dir():
            text = f"expected a folder, was {clip(folder, SHOWN_CHARACTERS_MAX)!r}"
            raise ConfigError([Problem("environment", 0, variable("secrets_dir"), text)])
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, folder)

    @classmethod
    def read(cls) -> Self:
        """Read the environment as it is now.

        Raises:
            ConfigError: every variable that has no usable value.
        """
        try:
            return cls()
        except ValidationError as e:
            raise ConfigError(_problem(details) for details in e.errors(include_url=False)) from e

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Name each variable, with what it is for."""
        return {variable(name): field.description or "" for name, field in cls.model_fields.items()}


def variable(field: str) -> str:
    """Name the variable of a field."""
    return PREFIX + field.upper()


def _problem(details: ErrorDetails) -> Problem:
    expected = details["msg"].removeprefix("Input should be ").removeprefix("Value error, expected ").lower()
    found = clip(repr(details["input"]), SHOWN_CHARACTERS_MAX)
    return Problem("environment", 0, variable(str(details["loc"][0])), f"expected {expected}, was {found}")


class Environment(Variables):
    """What an operator sets."""

    state: Path = Field(
        Path("state"), description="state directory, for commands and for a service that is started by hand"
    )
    secrets_dir: Path | None = Field(
        None,
        description="folder of files that the platform mounts, each named like a variable in small letters"
        " (`presage_database_url`) and holding its value; the variable itself wins",
    )
    keys_dir: Path | None = Field(
        None,
        description="folder of venue keys that the platform mounts: `polymarket.key`, `kalshi.pem` with `kalshi.id`,"
        " `manifold.key`; the feed's below `feed/`",
    )
    passphrase_file: Path | None = Field(
        None, description="file with the passphrase of stored keys; without it the passphrase is asked for"
    )
    nats_url: str = Field(
        "",
        description="use this NATS server instead of an embedded one; of a cluster all its nodes, separated by commas",
    )
    nats_credentials: Path | None = Field(
        None, description="folder with the password of each of its users, one file a user"
    )
    database_url: SecretStr = Field(
        SecretStr(""), description="use this PostgreSQL instead of an embedded one"
    )
    status_address: str = Field(
        "",
        pattern=ADDRESS_PATTERN,
        description="`host:port` where a process that no supervisor started serves health and metrics; without it"
        " any free port of loopback",
    )
    services_dir: Path | None = Field(
        None,
        description="folder with a state directory for each service, where they run elsewhere, in containers of their"
        " own: `presage up` writes what each may know into its directory, and starts none",
    )
    run_url: str = Field(
        "",
        description="where the supervisor serves a service its part of the run (`http://supervisor:9400/run`), where no"
        " folder is shared with it",
    )
    signing_keys_dir: Path | None = Field(
        None,
        description="folder of this installation's own keys that the platform mounts: `public.json`, and those that sign"
        " for whoever signs; otherwise `keys/` of the state directory",
    )
    sandbox_dir: Path | None = Field(
        None, description="state directory of a sandbox that runs elsewhere; `presage up` then starts none"
    )
    gate_dir: Path | None = Field(
        None,
        description="folder of the files `HALT` and `PAUSED`, where execution runs elsewhere; otherwise the state"
        " directory",
    )
    anthropic_key: SecretStr = Field(
        SecretStr(""), description="key of Anthropic's API, for the advisor alone"
    )
    openai_key: SecretStr = Field(
        SecretStr(""), description="key of OpenAI's API, or of a server that speaks it, for the advisor alone"
    )
    console_address: str = Field(
        "127.0.0.1:8700",
        pattern=ADDRESS_PATTERN,
        description="`host:port` of the console; beyond loopback it asks for TLS, its own or a proxy's",
    )
    console_hosts: str = Field(
        "",
        max_length=1_000,
        description="names with port by which browsers reach the console, with commas (`trade.example.org:443`); those"
        " of loopback always count",
    )
    console_certificate: Path | None = Field(None, description="file with the console's certificate, PEM")
    console_certificate_key: Path | None = Field(None, description="file with the certificate's key, PEM")
    console_published_on_loopback: bool = Field(
        False,
        description="whether the console's port is published on loopback alone, as the compose file does: then it may"
        " listen at every address of its container without TLS",
    )
    console_behind_proxy: bool = Field(
        False,
        description="whether a proxy with TLS stands before the console, which then speaks plain HTTP to it",
    )
    log_level: Level = Field("INFO", description="level of the logs")
    time_zone: Zone = Field(
        "", description="zone in which times are shown, such as `Europe/Berlin`; the system's without it"
    )


class ChildEnvironment(Variables):
    """What the supervisor (or a test) sets for a service's process."""

    passphrase_fd: int | None = Field(
        None, description="the pipe through which a service reads the passphrase once"
    )
    status_socket: int | None = Field(None, description="a service's listening socket for health and metrics")
    console_socket: int | None = Field(None, description="the console's listening socket for browsers")
    restarts: int = Field(0, ge=0, description="how often the service was restarted")
    instance: str = Field("", description="name of a second process of a service")
    crash_point: str = Field(
        "",
        description="where execution ends itself with SIGKILL, to test what follows; with commas, one for each life",
    )
