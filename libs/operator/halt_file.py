"""The HALT file, written by a process that has imported next to nothing: on a busy machine imports take seconds.

The gate of execution looks at the file before each claim, so the file alone stops new orders.
"""

import os
from contextlib import suppress

HALT_FILE = "HALT"
REASON = "operator"
"""What a halt says when nobody gave a reason."""
STATE_VARIABLE = "PRESAGE_STATE"
GATE_VARIABLE = "PRESAGE_GATE_DIR"
STATE = "state"
_WITH_VALUE = ("--state", "--reason")


def halt_at_once(arguments: list[str]) -> None:
    """Write the file if the arguments are those of ``presage halt``; whatever else they are is judged later.

    Arguments that this does not know are not guessed at: the command itself refuses them, and writes nothing.
    """
    if arguments[:1] != ["halt"]:
        return
    given = {"--state": os.environ.get(STATE_VARIABLE) or STATE, "--reason": REASON}
    rest = list(arguments[1:])
    while rest:
        name, sign, value = rest.pop(0).partition("=")
        if name == "--json" and not sign:
            continue
        if name not in _WITH_VALUE or not (sign or rest):
            return
        given[name] = value if sign else rest.pop(0)
    if os.path.isdir(given["--state"]):
        with suppress(OSError):  # the command tries again, and says what is wrong
            write_halt_file(given["--state"], given["--reason"])


def write_halt_file(state: str, reason: str) -> None:
    """Leave the file where execution's gate looks for it, on the disk when this returns.

    Raises:
        OSError: there is no file.
    """
    path = os.path.join(os.environ.get(GATE_VARIABLE) or state, HALT_FILE)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        # On a full disk the file is there all the same, with the reason that was in it or none.
        os.truncate(descriptor, 0)
        os.write(descriptor, reason.encode())
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
