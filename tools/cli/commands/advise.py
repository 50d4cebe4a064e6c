"""``presage advise``: a second opinion on the newest day and the settings, now: what rules find, and what a model would change."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from libs.lists.reading import Entry, read_kinds
from libs.runtime.layout import StateLayout
from proto.advisor import ModelAnswer, Question
from proto.units import ONE
from services.advisor.proposing import ROLE
from tools.cli.commands.eval_run import WAIT_S, Wait, evaluate_state
from tools.cli.commands.tape import history_of
from tools.cli.eval_table import print_evaluated, print_proposals
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, errors, run
from tools.system.installation import running_supervisor, tape_access

NOBODY = "no model was asked: nothing was found, nothing may be changed, or the advisor does not run"
STOPPED = "no model was asked: the system does not run"


def advise(wait: Wait = WAIT_S, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Have the newest day and the settings looked over now, by rules and by a model: what it would change, measured."""
    visible = sys.stderr.isatty() and not as_json

    async def work() -> dict[str, Any]:
        with Progress(console=errors, transient=True, disable=not visible) as bar:
            task = bar.add_task("advise", total=None)

            def tell(what: str, done: int, total: int) -> None:
                bar.update(task, description=what or "advise", completed=done, total=total or None)

            found = await evaluate_state(state, "", wait, tell)
            return found | {"opinion": await _opinion(state, found["day"])}

    found = run(work())
    if as_json:
        emit(found)
        return
    print_evaluated(console, found)
    if found["proposals"]:
        print_proposals(console, found["proposals"])
    console.print(said(found["opinion"], found["proposals"]), soft_wrap=True, highlight=False, markup=False)


async def _opinion(state: Path, day: str) -> dict[str, Any]:
    """The newest answer of a model about that day, and what it cost."""
    async with tape_access(state) as (installation, link):
        reading = await read_kinds(history_of(installation, link), (Question, ModelAnswer))
    found = opinion_in(reading.entries, day)
    if found is not None:
        return found
    return {"asked": False, "why": NOBODY if running_supervisor(StateLayout(state)) else STOPPED}


def opinion_in(entries: Sequence[Entry], day: str) -> dict[str, Any] | None:
    """The newest question about a day and its answer, as plain data; ``None`` where none was put."""
    question: Question | None = None
    answers: dict[str, ModelAnswer] = {}
    for _, message in entries:
        if isinstance(message, ModelAnswer):
            answers.setdefault(message.question, message)
        elif isinstance(message, Question) and message.role == ROLE and message.market == f"eval:{day}":
            question = message
    if question is None:
        return None
    answer = answers.get(question.question)
    if answer is None:
        return {"asked": True, "status": "none", "why": "its answer has not come yet"}
    return opinion_of(answer, question)


def opinion_of(answer: ModelAnswer, question: Question) -> dict[str, Any]:
    """A model's answer as plain data, money in dollars."""
    return {
        "asked": True,
        "status": answer.status.value,
        "why": answer.detail,
        "model": answer.model or question.model,
        "prompt": question.prompt,
        "question": question.question,
        "cost": answer.cost / ONE,
        "latency_ms": answer.latency_ms,
    }


def said(opinion: dict[str, Any], proposals: list[dict[str, Any]]) -> str:
    """The opinion in a sentence or two."""
    if not opinion["asked"]:
        return f"{opinion['why'].capitalize()}."
    if "model" not in opinion:
        return f"A model was asked; {opinion['why']}. Again later: presage advise."
    who = f"{opinion['model']} looked at it for ${opinion['cost']:.4f}"
    if opinion["status"] == "abstain":
        return f"{who}: it would change nothing."
    if opinion["status"] != "forecast":
        return f"{who}: its answer is of no use ({opinion['status']}, {opinion['why'] or 'no reason given'})."
    if not proposals:
        return f"{who}: nothing of what it would change may be changed, or it is still being measured."
    names = ", ".join(proposal["proposal"] for proposal in proposals)
    return f"{who}. To take one up: presage eval accept ID ({names})."
