"""Many runs side by side: input decoded once, a process a core, finished runs kept whatever ends the sweep."""

import gc
import inspect
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Self

from libs.files import write_atomically
from libs.runtime.layout import BUILD
from services.signal.discovery import load_strategies
from tools.exit_codes import NothingDone, UsageError
from tools.offline.backtest import decode_recordings
from tools.research.points import Point, points_of
from tools.research.report import hash_of, input_of
from tools.research.runs import Outcome, Shared, outcome_of, run_point
from tools.system.composition import factories, sections

PLAN, RESULTS = "sweep.json", "results.jsonl"
FORMAT = 1
PLACES = ("recordings", "config")
"""Of a plan, where things are: another sweep is one of other things."""

Progress = Callable[[int, int], None]
"""Called with runs done and all of them."""


class Plan(NamedTuple):
    """What a sweep is: the same plan gives the same results. ``drawn`` 0: the whole grid."""

    recordings: list[Path]
    strategies: list[str]
    config: Path
    base: dict[str, str]
    vary: dict[str, list[str]]
    drawn: int = 0
    seed: int = 0
    period_s: int = 300

    def points(self) -> list[Point]:
        """The settings of every run, in order."""
        return points_of(self.vary, self.drawn, self.seed)

    def document(self) -> dict[str, Any]:
        """As plain data, by what the recordings hold and not by where they are."""
        return {
            "format": FORMAT,
            "version": metadata.version("presage"),
            "build": BUILD,
            "machines": {name: make().version for name, make in factories(self.strategies).items()},
            "sources": sources_of(self.strategies),
            "inputs": [input_of(path) for path in self.recordings],
            "recordings": [str(path) for path in self.recordings],
            "config": str(self.config),
            "strategies": self.strategies,
            "settings_hash": hash_of(sections(self.config, self.base, self.strategies)),
            "base": self.base,
            "vary": self.vary,
            "drawn": self.drawn,
            "seed": self.seed,
            "period_s": self.period_s,
        }


def sources_of(strategies: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The files that strategies are written in, by what they hold: one that was edited makes other runs."""
    classes = load_strategies(strategies)
    return {strategy.name: input_of(Path(inspect.getfile(strategy))) for strategy in classes}


class Results(NamedTuple):
    """A plan's document and what is done of it, in the order of its points (``None``: not yet)."""

    plan: dict[str, Any]
    points: list[Point]
    outcomes: list[Outcome | None]

    @property
    def done(self) -> list[Outcome]:
        """Outcomes of runs that took place."""
        return [row for row in self.outcomes if row is not None and not row.error]

    def periods(self) -> list[int]:
        """Moments (seconds) at which a period of any run begins."""
        return sorted({at for row in self.done for at in row.periods})

    def table(self) -> list[list[float]]:
        """Profits of every run by period: what the statistics are made of."""
        periods = self.periods()
        return [[float(row.periods.get(at, 0)) for at in periods] for row in self.done]


def load_results(folder: Path) -> Results:
    """What is in a sweep's folder; a line that was torn when the machine stopped does not count.

    Raises:
        UsageError: there is no sweep.
    """
    try:
        plan = json.loads((folder / PLAN).read_bytes())
    except FileNotFoundError as e:
        raise UsageError(f"expected a folder of a sweep, was {folder}") from e
    points = points_of(plan["vary"], plan["drawn"], plan["seed"])
    outcomes: list[Outcome | None] = [None] * len(points)
    for place, outcome in _lines(folder / RESULTS):
        if place < len(points) and outcome.sets == points[place]:
            outcomes[place] = outcome
    return Results(plan, points, outcomes)


def _lines(path: Path) -> Iterator[tuple[int, Outcome]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        yield row.pop("point"), outcome_of(row)


def sweep(plan: Plan, folder: Path, jobs: int = 0, progress: Progress = lambda _, __: None) -> Results:
    """Run what is missing of a plan into a folder; ``jobs`` 0: a process for each core.

    Raises:
        UsageError: the folder has another sweep, or the settings cannot be.
        NothingDone: it was stopped, or a process of it was killed; what is finished is kept.
    """
    points = plan.points()
    _begin(plan, folder)
    results = load_results(folder)
    missing = [place for place, outcome in enumerate(results.outcomes) if outcome is None]
    done = len(points) - len(missing)
    progress(done, len(points))
    if missing:
        shared = Shared(
            decode_recordings(plan.recordings), plan.strategies, plan.config, plan.base, plan.period_s
        )
        with _Stop() as stop, (folder / RESULTS).open("ab") as file:
            if file.tell():
                # A line that was torn ends here; an empty one does not count.
                file.write(b"\n")
            for place, outcome in _run_all(
                shared, points, missing, min(jobs or os.cpu_count() or 1, len(missing)), stop
            ):
                file.write(json.dumps({"point": place, **outcome.document()}).encode() + b"\n")
                file.flush()
                done += 1
                progress(done, len(points))
        if done < len(points):
            raise NothingDone(
                f"stopped after {done:,} of {len(points):,} runs; they are kept, and the same command goes on from there"
            )
    return load_results(folder)


def _begin(plan: Plan, folder: Path) -> None:
    """Write the plan into an empty folder, or compare with the one that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    document = plan.document()
    path = folder / PLAN
    if path.exists():
        known = json.loads(path.read_bytes())
        different = [
            name for name, value in document.items() if name not in PLACES and known.get(name) != value
        ]
        if different:
            raise UsageError(
                f"expected the sweep that {folder} has, was another: {', '.join(different)} differ; put back what differs"
                " to go on with it, or give another folder"
            )
        return
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


class _Stop:
    """While it is entered, a first Ctrl-C is a wish to stop; a second one ends the process as usual."""

    asked = False

    def __enter__(self) -> Self:
        self._is_heard = threading.current_thread() is threading.main_thread()
        if self._is_heard:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_heard:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run_all(
    shared: Shared, points: Sequence[Point], missing: Sequence[int], jobs: int, stop: _Stop
) -> Iterator[tuple[int, Outcome]]:
    if jobs == 1:
        for place in missing:
            if not stop.asked:
                yield place, run_point(shared, points[place])
        return
    # What is decoded stays as it is: the collector of garbage would write into every page that the processes share.
    gc.collect()
    gc.freeze()
    context = multiprocessing.get_context("fork")
    try:
        with ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_begin_process, initargs=(shared,)
        ) as pool:
            try:
                yield from _finished({pool.submit(_work, points[place]): place for place in missing}, stop)
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        gc.unfreeze()


def _finished(futures: Mapping[Future[Outcome], int], stop: _Stop) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come; after Ctrl-C those that are under way, and no other."""
    try:
        for future in as_completed(futures):
            if stop.asked:
                for other in futures:
                    other.cancel()
            if not future.cancelled():
                yield futures[future], future.result()
    except BrokenProcessPool as e:
        text = "expected every process of the sweep to live, one was killed (memory?): the same command goes on from there"
        raise NothingDone(text) from e


_held: list[Shared] = []
"""In each process of a sweep: what it was forked with."""


def _begin_process(shared: Shared) -> None:
    """Ctrl-C goes to all processes of a terminal; the first one decides. What is shared comes by the fork."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _held.append(shared)


def _end_with_parent() -> None:
    """A killed sweep leaves no process behind that waits for its next run for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(sets: Point) -> Outcome:
    return run_point(_held[-1], sets)


def result_hash(results: Results) -> str:
    """A hash of all outcomes in the order of their points, whoever finished first."""
    return hash_of([None if row is None else row.document() for row in results.outcomes])
