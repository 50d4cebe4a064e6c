"""What one job does: ``python -m tools.offline.worker.job --state DIR``, the job on stdin, lines of JSON on stdout."""

import argparse
import asyncio
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.config.errors import ConfigError
from libs.contract.codec import Unreadable, decode
from libs.keys.signing import Verifier
from libs.runtime.layout import StateLayout
from libs.tape.connection import open_link
from libs.tape.errors import TapeError
from proto.operator import Command, Verb
from proto.subjects import EVALUATOR
from proto.units import ONE
from tools.exit_codes import NothingDone, UsageError
from tools.offline.evaluation import evaluate_tape
from tools.offline.replay_run import first_reachable, read_history
from tools.offline.tape_time import boundary
from tools.offline.what_if.run import what_if
from tools.offline.what_if.variants import Variant
from tools.offline.worker.process import PROGRESS_EVERY_S
from tools.offline.worker.protocol import COUNTERFACTUAL, EVALUATE, MEASURE, WHAT_IF
from tools.system.composition import DEFAULT_STRATEGIES

MEMORY_BYTES_MAX = 4 << 30
"""Of a job: a day's tape takes some hundred megabytes, and what trades needs the rest of the machine."""
DECISIONS_MAX = 100
"""Of a what-if's document: what fits an answer on the bus. All are counted."""
CHANGED, WITHOUT = "changed", "without"

Tell = Callable[[str, int, int], None]


async def _what_if(place: "Place", tape: History, body: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """What would have been with some changes; the whole document, with the first decisions that differ."""
    document = await _measured(place, tape, Variant("change", body["changes"]), body, tell)
    for variant in document["variants"]:
        variant["decisions"] = variant["decisions"][:DECISIONS_MAX]
    return document


async def _measure(place: "Place", tape: History, body: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """A stretch of the tape as it was and with one number changed."""
    document = await _measured(place, tape, Variant(CHANGED, {body["path"]: body["value"]}), body, tell)
    (variant,) = document["variants"]
    return {
        WITHOUT: tally_of(document["baseline"]),
        CHANGED: tally_of(variant["outcome"]),
        "differing": variant["decisions_differing"],
        "trades_differing": variant["trades_differing"],
        "noise": round(variant["noise"] * ONE),
    }


async def _counterfactual(
    place: "Place", tape: History, body: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    """The time since an accepted change, with it and without it."""
    accepted = await _accepted_at(tape, body["proposal"])
    bounds = {"first": str(accepted), "last": str(body["to_seq"])}
    variant = Variant(WITHOUT, {}, (body["proposal"],))
    document = await _measured(place, tape, variant, bounds, tell)
    (found,) = document["variants"]
    return {
        WITHOUT: tally_of(found["outcome"]),
        CHANGED: tally_of(document["baseline"]),
        "differing": found["trades_differing"],
        "noise": round(found["noise"] * ONE),
    }


async def _accepted_at(tape: History, proposal: str) -> int:
    """Where a proposal was accepted.

    Raises:
        NothingDone: the tape does not say.
    """
    for record in await tape.read_subject(f"{Command.kind}.{Verb.ACCEPT.value}"):
        try:
            command = decode(record.subject, record.payload)
        except Unreadable:
            continue
        if isinstance(command, Command) and command.proposal == proposal:
            return record.seq
    raise NothingDone(f"expected an acceptance of {proposal} on the tape, was none")


async def _measured(
    place: "Place", tape: History, variant: Variant, bounds: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    held, newest = await tape.bounds()
    strategies = place.layout.read_run().strategies or DEFAULT_STRATEGIES
    history = await read_history(place, tape, Verifier.load(place.layout.public_keys))
    reachable = first_reachable(place, history, held, strategies)
    first = max(await boundary(tape, bounds.get("first", ""), reachable), reachable)
    last = min(await boundary(tape, bounds.get("last", ""), newest), newest)
    if first > last:
        raise UsageError(f"expected a stretch that the tape holds, was {first} to {last}")
    return await what_if(place, tape, history, [variant], (first, last), tell)


async def _evaluate(_: "Place", tape: History, body: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """What the leak rules say of a day."""

    def told(done: int, total: int) -> None:
        tell("evaluate", done, total)

    return (await evaluate_tape(tape, body.get("day", ""), told)).document()


def tally_of(figures: Mapping[str, Any]) -> dict[str, int]:
    """Figures of a what-if as ``proto.evaluation.Tally`` has them: money in millionths."""
    return {
        "trades": figures["trades"],
        "orders": figures["orders"],
        "fills": figures["fills"],
        "rejections": figures["rejected"],
        "errors": figures["errors"],
        "profit": round(figures["profit"] * ONE),
        "drawdown": round(figures["drawdown"] * ONE),
    }


KINDS = {WHAT_IF: _what_if, MEASURE: _measure, COUNTERFACTUAL: _counterfactual, EVALUATE: _evaluate}


class Place(NamedTuple):
    """Whose tape it is, as a replay wants it."""

    layout: StateLayout


class Teller:
    """Writes how far it is, at most twice a second; ends the job when nobody is there any more who wants it."""

    def __init__(self) -> None:
        self._told_at_s = 0.0
        self._parent = os.getppid()

    def __call__(self, what: str, done: int, total: int) -> None:
        if os.getppid() != self._parent:
            sys.exit("the evaluator is gone")
        if monotonic() - self._told_at_s >= PROGRESS_EVERY_S:
            self._told_at_s = monotonic()
            say({"what": what, "done": done, "total": total})


def say(document: Mapping[str, Any]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


async def run(root: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do a job, with the evaluator's own credentials."""
    layout = StateLayout(root)
    link = await open_link(layout.read_run().broker_url, EVALUATOR, layout.password(EVALUATOR))
    try:
        tape = History(link, Archive(layout.archive))
        return await KINDS[request["kind"]](Place(layout), tape, request["body"], Teller())
    finally:
        await link.close()


def main() -> None:
    """Read the job, do it, write what came of it."""
    parser = argparse.ArgumentParser(description="One job of the evaluator.")
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    request = json.loads(sys.stdin.read())
    try:
        say({"result": asyncio.run(run(options.state, request))})
    except (UsageError, NothingDone, ConfigError, TapeError) as e:
        say({"failed": str(e)})
    except MemoryError:
        say({"failed": f"expected to need at most {MEMORY_BYTES_MAX >> 20} MiB, was more"})


if __name__ == "__main__":
    main()
