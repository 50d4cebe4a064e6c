"""What a sweep says: the best runs, how much of that is luck, and what each setting does."""

import shlex
from statistics import median, stdev
from typing import Any

from libs.performance.selection import best_by_luck, deflated_ratio, overfitting, plateau, ratio
from libs.view import wording
from tools.research.page import document_page, section, table, text
from tools.research.points import neighbours
from tools.research.runs import Outcome
from tools.research.svg import Marks, plot
from tools.research.sweeping import Results, result_hash
from tools.system.composition import CONFIG_DIRECTORY

BEST = 20
SPIKE = 0.5
"""Neighbours that make less than this share of the best: a spike, not a plateau."""


def summary_of(results: Results) -> dict[str, Any]:
    """The sweep as plain data; money in millionths. Ratios are of a period of ``period_s``."""
    done = results.done
    trials = results.table()
    ratios = [ratio(profits) for profits in trials]
    ranked = sorted(range(len(done)), key=lambda place: (-done[place].profit, place))
    document: dict[str, Any] = {
        "points": len(results.points),
        "trials": len(done),
        "failed": [row.document() for row in results.outcomes if row is not None and row.error],
        "periods": len(results.periods()),
        "period_s": results.plan["period_s"],
        "vary": results.plan["vary"],
        "result_hash": result_hash(results),
        "rows": [_row(done[place], ratios[place]) for place in ranked],
        "effects": _effects(results),
    }
    if not ranked:
        return document | {"best": None}
    best = ranked[0]
    around = _around(results, done[best])
    spread = _deviation(ratios)
    return document | {
        "best": {
            "sets": done[best].sets,
            "profit": done[best].profit,
            "command": command_of(results, done[best]),
            "outputs_hash": done[best].outputs_hash,
            "plateau": plateau(done[best].profit, around).document(),
        },
        "ratio_by_luck": best_by_luck(spread, len(done)),
        "deflated_sharpe": deflated_ratio(trials, max(range(len(done)), key=ratios.__getitem__)).document(),
        "overfitting": overfitting(trials).document(),
    }


def _deviation(ratios: list[float]) -> float:
    return stdev(ratios) if len(ratios) > 1 else 0.0


def _row(outcome: Outcome, value: float) -> dict[str, Any]:
    names = ("sets", "profit", "fees", "trades", "drawdown", "outputs_hash")
    return {name: getattr(outcome, name) for name in names} | {"ratio": value}


def _around(results: Results, best: Outcome) -> list[float]:
    vary = results.plan["vary"]
    return [row.profit for row in results.done if neighbours(vary, best.sets, row.sets)]


def _effects(results: Results) -> dict[str, dict[str, float]]:
    """Path → value → the median profit of the runs that had it."""
    found: dict[str, dict[str, float]] = {}
    for path, values in results.plan["vary"].items():
        by_value = {
            value: [row.profit for row in results.done if row.sets[path] == value] for value in values
        }
        found[path] = {value: median(profits) for value, profits in by_value.items() if profits}
    return found


def command_of(results: Results, outcome: Outcome) -> str:
    """The backtest that gives the same hash again."""
    plan = results.plan
    words = ["presage", "backtest", *plan["recordings"]]
    words += [word for name in plan["strategies"] for word in ("--strategy", name)]
    config = plan.get("config", str(CONFIG_DIRECTORY))
    if config != str(CONFIG_DIRECTORY):
        words += ["--config", config]
    sets = {**plan["base"], **outcome.sets}
    words += [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    return shlex.join([*words, "--trials", str(len(results.points))])


def remarks(summary: dict[str, Any]) -> list[str]:
    """What has to be said beside the best result."""
    best = summary["best"]
    if best is None:
        return ["No run is finished."]
    texts = [f"The best of {wording.counted(summary['trials'], 'trial')} may be good by luck alone."]
    deflated, over = summary["deflated_sharpe"], summary["overfitting"]
    if deflated["value"] is None:
        texts.append(f"Deflated Sharpe ratio: no number ({deflated['reason']}).")
    else:
        texts.append(
            f"Deflated Sharpe ratio {deflated['value']:.2f}: how probable it is that the best ratio is better than the best of as"
            " many worthless settings; below 0.95 there is nothing to rely on."
        )
    if over["value"] is None:
        texts.append(f"Probability of overfitting: no number ({over['reason']}).")
    else:
        texts.append(
            f"Probability of overfitting {over['value']:.2f}: how often the best of one half of the time was below the median in"
            " the other."
        )
    flat = best["plateau"]
    if flat["value"] is not None:
        kind = "a spike" if flat["value"] < SPIKE else "a plateau"
        texts.append(
            f"Neighbouring settings made {flat['value']:.2f} of what the best made (median): {kind}."
        )
    if summary["failed"]:
        texts.append(
            f"{wording.counted(len(summary['failed']), 'point')} could not run: {summary['failed'][0]['error']}"
        )
    return texts


def sweep_page(summary: dict[str, Any]) -> str:
    """The sweep as one page without a script."""
    rows = [
        [
            text(", ".join(f"{name}={value}" for name, value in row["sets"].items())),
            text(wording.money(row["profit"], signed=True)),
            text(wording.money(row["fees"])),
            f"{row['trades']:,}",
            f"{100 * row['drawdown']:.2f} %",
            f"{row['ratio']:.3f}",
        ]
        for row in summary["rows"]
    ]
    heads = ("settings", "profit>", "fees>", "trades>", "drawdown>", "ratio of a period>")
    parts = [
        f"<h1>Sweep: {summary['trials']:,} of {wording.counted(summary['points'], 'run')}</h1>",
        section(
            "Remarks",
            "<ul>" + "".join(f"<li>{text(row)}</li>" for row in remarks(summary)) + "</ul>",
            "limits",
        ),
        section("Profit by setting", "".join(_setting(summary, path) for path in summary["vary"])),
        section("Runs", table("Every run, best first", heads, rows), "long"),
    ]
    if summary["best"] is not None:
        parts.append(section("The best again", f"<p><code>{text(summary['best']['command'])}</code></p>"))
    return document_page("Sweep", parts)


def _setting(summary: dict[str, Any], path: str) -> str:
    values = summary["vary"][path]
    points = [(float(values.index(row["sets"][path])), float(row["profit"])) for row in summary["rows"]]
    medians = [(float(values.index(value)), made) for value, made in summary["effects"][path].items()]
    words = "; ".join(
        f"{value}: {wording.money(round(made))}" for value, made in summary["effects"][path].items()
    )

    def label(place: float) -> str:
        return str(values[min(round(place), len(values) - 1)]) if round(place) >= 0 else ""

    made = plot(
        f"Profit by {path}",
        f"Median profit by value: {words}.",
        label,
        lambda value: wording.money(round(value)),
        marks=[Marks("runs", points, 1), Marks("median", medians, 3)],
        with_zero=True,
    )
    return f"<h3>{text(path)}</h3>{made}"
