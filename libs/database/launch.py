"""Become the database's user, then its program: ``launch.py UID GID CAPABILITY PARENT PROGRAM ARGUMENT…``.

Run as a program of its own, because dropping privileges between fork and exec of a threaded process is
not safe. PostgreSQL refuses to run as root, so root hands over to an unprivileged user. With CAPABILITY 1
that user keeps one of root's rights, entering folders that are closed to it (CAP_DAC_OVERRIDE), since the
state directory or the environment may lie in a folder only root may enter. With PARENT not 0 the kernel
asks the database to shut down (SIGINT) when that process dies.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _check(result: int, what: str) -> None:
    if result != 0:
        sys.exit(f"expected {what} to be allowed, was {os.strerror(ctypes.get_errno())}")


def _become(uid: int, gid: int, capability: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if capability:
        _check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability:
        right = 1 << CAP_DAC_OVERRIDE
        data = (_Data * 2)(_Data(right, right, right), _Data(0, 0, 0))
        header = _Header(CAPABILITY_VERSION, 0)
        _check(libc.capset(ctypes.byref(header), data), "capset")
        _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "ambient rights")


def _die_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0), "PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        sys.exit("expected the starting process to be alive, was gone")


def main() -> None:
    """Take on the user and run the program in this process."""
    uid, gid, capability, parent = (int(text) for text in sys.argv[1:5])
    program = sys.argv[5:]
    if os.geteuid() == 0:
        _become(uid, gid, bool(capability))
    # After the change of user, which would clear it.
    if parent and sys.platform == "linux":
        _die_with(parent)
    os.umask(0o077)
    os.execv(program[0], program)  # noqa: S606 - the arguments come from embedded.py alone


if __name__ == "__main__":
    main()
