"""How every command talks to its user: options they share, errors as one line, exit codes."""

import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from libs.operator.halt_file import STATE, STATE_VARIABLE
from tools.exit_codes import FAILED

State = Annotated[Path, typer.Option("--state", envvar=STATE_VARIABLE, help="State directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: risk.max_bet=0.01")]
ConfigDirectory = Annotated[Path, typer.Option("--config", help="Directory of the YAML files.")]
Strategies = Annotated[
    list[str] | None, typer.Option("--strategy", help="Name, module:Class or file.py:Class.")
]
DEFAULT_STATE = Path(STATE)

T = TypeVar("T")
console = Console()
errors = Console(stderr=True)


def fail(text: str, code: int = FAILED) -> typer.Exit:
    """Print an error and make the exit for it."""
    errors.print(f"presage: {text}", style="red", highlight=False, markup=False, soft_wrap=True)
    return typer.Exit(code)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; errors that a user can mend become a line and an exit code."""
    import uvloop

    return attempt(lambda: uvloop.run(work))


def attempt(work: Callable[[], T]) -> T:
    """Do a command's work; errors that a user can mend become a line and an exit code."""
    try:
        return work()
    except (typer.Exit, typer.Abort, BrokenPipeError):
        # The last: who read our output has seen enough.
        raise
    except Exception as e:
        from tools.cli.error_words import words_of

        told = words_of(e)
        if told is None:
            raise
        raise fail(*told) from e


def emit(document: Any) -> None:
    """Print a document as JSON."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_outcome(document: dict[str, Any], as_json: bool) -> None:
    """Print a document, or the sentence in it that is for people."""
    if as_json:
        emit(document)
    else:
        console.print(document["text"], highlight=False, markup=False, soft_wrap=True)
