"""Run a program that ends with its parent: ``launch.py PARENT PROGRAM ARGUMENT…``.

On Linux the kernel then asks it to stop (SIGTERM) when the thread that started it ends, however that
happens: a supervisor that was killed leaves no broker behind. A program of its own, because code between
fork and exec of a threaded process is not safe.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, make sure that the parent still lives, become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("expected the starting process to live, was gone")
    os.execv(program[0], program)  # noqa: S606 - the arguments come from broker.py alone


if __name__ == "__main__":
    main()
