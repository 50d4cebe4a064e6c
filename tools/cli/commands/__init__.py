"""What the commands do, apart from parsing arguments; one module a subject."""

from tools.cli.commands.journal import export_journal, verify_journal
from tools.cli.commands.operator import give, halt
from tools.cli.commands.replay import ReplayRequest, print_replay, replay
from tools.cli.commands.sandbox import serve_sandbox
from tools.cli.commands.status import is_stopping, print_status, status
from tools.cli.commands.tape import records
from tools.cli.commands.why import why

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
