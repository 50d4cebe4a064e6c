"""How every command talks to its user: options they share, errors as one line, exit codes."""

import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
import uvloop
from rich.console import Console

from libs.config.errors import ConfigError
from libs.keys.venues.errors import KeyStoreError
from libs.tape.errors import TapeError
from services.feed.recording.recording import RecordingError
from services.signal.discovery import StrategyNotFound
from tools.cli.exit_codes import FAILED, USAGE, UsageError
from tools.system.installation import SystemGone

State = Annotated[Path, typer.Option("--state", envvar="PRESAGE_STATE", help="State directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: risk.bet_max=0.01")]
ConfigDirectory = Annotated[Path, typer.Option("--config", help="Directory of the YAML files.")]
Strategies = Annotated[
    list[str] | None, typer.Option("--strategy", help="Name, module:Class or file.py:Class.")
]
DEFAULT_STATE = Path("state")

T = TypeVar("T")
console = Console()
errors = Console(stderr=True)


def fail(text: str, code: int = FAILED) -> typer.Exit:
    """Print an error and make the exit for it."""
    errors.print(f"presage: {text}", style="red", highlight=False, markup=False, soft_wrap=True)
    return typer.Exit(code)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; errors that a user can mend become a line and an exit code."""
    try:
        return uvloop.run(work)
    except typer.Exit:
        raise
    except (UsageError, ConfigError, RecordingError, StrategyNotFound, KeyStoreError) as e:
        raise fail(str(e), USAGE) from e
    except SystemGone as e:
        raise fail(str(e)) from e
    except (TapeError, OSError, RuntimeError, asyncpg.PostgresError, asyncpg.InterfaceError) as e:
        raise fail(f"{type(e).__name__}: {e}") from e


def emit(document: Any) -> None:
    """Print a document as JSON."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def say(document: dict[str, Any], as_json: bool) -> None:
    """Print a document, or the sentence in it that is for people."""
    if as_json:
        emit(document)
    else:
        console.print(document["text"], highlight=False, markup=False, soft_wrap=True)
