"""Entry point of the ``presage`` command. A halt takes effect before anything else is imported."""

import sys

from tools.cli.halt_file import halt_at_once


def main() -> None:
    """Write the HALT file if that is what was asked for, then run the command."""
    halt_at_once(sys.argv[1:])
    from tools.cli.app import app

    app()


if __name__ == "__main__":
    main()
