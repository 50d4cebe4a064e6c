"""The chain of causes of anything on the tape, read from window and archive as one."""

from typing import Any

from libs.archive.history import History
from libs.explain.archived_chain import archived_records
from libs.explain.why import Tape, document
from libs.lists.reading import read_markets, read_window
from libs.view import wording
from proto.monitor import Clock
from proto.subjects import TABLE

_KINDS = [row.model for row in TABLE if row.producer != "feed" and row.model is not Clock]
"""Prices and the clock, nearly all of a tape, are fetched one by one where they are a cause."""


async def find_chain(history: History, name: str) -> list[dict[str, Any]]:
    """The chain of causes of ``name``, in the order of the tape; empty when the tape does not know it.

    Raises:
        SeveralMeant: ``name`` is the beginning of more than one.
        BrokerUnavailable: the broker did not answer.
        ArchiveDamaged: a segment cannot be read.
    """
    tape = Tape()
    window = await read_window(history.link, _KINDS)
    for record in archived_records(history.archive, name):
        if record.seq < window.first_seq:
            tape.add(record)
    for record, _ in window.entries:
        tape.add(record)
    tape.labels = await _labels(history)
    chain = document(await tape.chain(name, lambda seq: history.records(seq, seq)))
    for step in chain:
        payload = step["payload"] or {}
        named = (tape.labels.get(payload.get(field, "")) for field in ("instrument", "market"))
        step["name"] = next(filter(None, named), "")
    return chain


async def _labels(history: History) -> dict[str, str]:
    """Markets and instruments as the view names them."""
    found: dict[str, str] = {}
    for name, market in (await read_markets(history)).items():
        found[name] = wording.market(market)
        for outcome in market.outcomes:
            found[outcome.instrument] = f"{found[name]} {outcome.name.upper()}"
    return found
