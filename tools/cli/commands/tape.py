"""Reading a tape from outside: its archive and its window as one."""

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.tape.connection import Link
from tools.system.installation import Installation


def history_of(installation: Installation, link: Link) -> History:
    """The whole tape of a state directory."""
    return History(link, Archive(installation.layout.archive))
