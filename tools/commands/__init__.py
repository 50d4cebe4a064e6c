"""What the commands do, apart from parsing arguments; one module a subject."""

from tools.commands.explaining import why
from tools.commands.journal import export_journal, verify_journal
from tools.commands.operating import give, halt
from tools.commands.reading import records
from tools.commands.replaying import ReplayRequest, print_replay, replay
from tools.commands.serving import serve_sandbox
from tools.commands.status import is_stopping, print_status, status

__all__ = [
    "ReplayRequest",
    "export_journal",
    "give",
    "halt",
    "is_stopping",
    "print_replay",
    "print_status",
    "records",
    "replay",
    "serve_sandbox",
    "status",
    "verify_journal",
    "why",
]
