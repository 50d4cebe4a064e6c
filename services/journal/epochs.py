"""Finding changed epochs: the table that decides which rows count, and to which history they belong.

``run`` and ``ends_at_seq`` follow from the epochs' parents and first sequences, and are computed again. What
does not follow from anything is covered by the digest that each anchor in the local file carries.
"""

import hashlib
from collections.abc import Iterable, Sequence

import asyncpg
import msgspec

from services.journal.anchors import FiledAnchor
from services.journal.chainwalk import ChainFinding, Damage

_FIXED = ("epoch", "run", "parent", "tape", "from_seq", "reason", "opened_at")
"""What never changes once an epoch was opened. ``genesis`` is checked by itself."""

_encode = msgspec.json.Encoder().encode


async def load_epochs(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """All epochs, oldest first."""
    return await connection.fetch("SELECT * FROM journal.epoch ORDER BY epoch")


def epochs_digest(epochs: Iterable[asyncpg.Record]) -> str:
    """What identifies these epochs, as hexadecimal."""
    digest = hashlib.sha256()
    for epoch in epochs:
        digest.update(_encode([epoch[name] for name in _FIXED]) + b"\n")
    return digest.hexdigest()


def check_epochs(epochs: Sequence[asyncpg.Record], anchors: Iterable[FiledAnchor]) -> list[ChainFinding]:
    """Compare the epochs with what follows from their parents, and with the anchors."""
    runs: dict[int, int] = {}
    ends: dict[int, int] = {}
    parents = {epoch["epoch"]: epoch["parent"] for epoch in epochs}
    for epoch in epochs:
        number, parent = epoch["epoch"], epoch["parent"]
        runs[number] = number if parent is None else runs.get(parent, number)
        # A parent is older, else the line could lead in a circle.
        while parent is not None and parent < number:
            ends[parent] = min(ends.get(parent, epoch["from_seq"] - 1), epoch["from_seq"] - 1)
            number, parent = parent, parents.get(parent)
    findings = []
    for epoch in epochs:
        number = epoch["epoch"]
        for name, expected in (("run", runs[number]), ("ends_at_seq", ends.get(number))):
            if epoch[name] != expected:
                findings.append(_changed(epoch, f"expected {name} {expected}, was {epoch[name]}"))
    return findings + _check_anchored(epochs, anchors)


def _check_anchored(epochs: Sequence[asyncpg.Record], anchors: Iterable[FiledAnchor]) -> list[ChainFinding]:
    """The first epoch whose anchors say otherwise is named: those of later epochs cover it too."""
    digests = {epoch["epoch"]: epochs_digest(epochs[: at + 1]) for at, epoch in enumerate(epochs)}
    differing = [a.epoch for a in anchors if a.epochs and digests.get(a.epoch, a.epochs) != a.epochs]
    return [
        _changed(epoch, "the epochs up to this one are not those that were anchored")
        for epoch in epochs
        if epoch["epoch"] == min(differing, default=None)
    ]


def _changed(epoch: asyncpg.Record, text: str) -> ChainFinding:
    return ChainFinding(epoch["epoch"], epoch["from_seq"], Damage.EPOCH, text)
