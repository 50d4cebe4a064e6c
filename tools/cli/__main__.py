"""Entry point of the ``presage`` command. A halt takes effect before anything else is imported."""

import os
import sys

from libs.operator.halt_file import halt_at_once

INTERRUPTED = 130
"""Exit code of a command ended by Ctrl-C, as shells have it."""


def main() -> None:
    """Write the HALT file if that is what was asked for, then run the command."""
    if sys.argv[1:2] == ["--compose"]:
        from tools.cli.compose import run_in_containers

        run_in_containers(sys.argv[2:])
    halt_at_once(sys.argv[1:])
    try:
        if sys.argv[1:2] == ["up"] and "--help" not in sys.argv and sys.stderr.isatty():
            # Imports take a second, on a busy machine several; the line is written over by what follows.
            print("presage: starting …", end="\r", file=sys.stderr, flush=True)
        from tools.cli.app import app

        app()
    except (KeyboardInterrupt, SystemExit) as e:
        # Typer makes this exit code of a Ctrl-C, and says nothing.
        if isinstance(e, KeyboardInterrupt) or e.code == INTERRUPTED:
            print("\npresage: ended by Ctrl-C", file=sys.stderr)
            sys.exit(INTERRUPTED)
        raise
    except BrokenPipeError:
        # Who read our output has seen enough: `presage orders | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
