"""``python -m bench.forecasts``: what weights real forecasters earn against the market, on recorded predictions.

Three recordings, fed one by one in the order of their times through the same code that the advisor runs: 2,832 forecasts
of nine models with the market's price and the outcome, and windows of Polymarket and of Kalshi with middle prices and
results, on which five made-up forecasters are tried. ``--plot FILE`` draws the loss against the market as an SVG.
"""

import argparse
import csv
import gzip
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bench.recorded import DATA_DIRECTORY
from libs.forecasting.calibration import Calibrator
from libs.forecasting.odds import clamp_forecast, clamp_market, log_loss
from libs.forecasting.weight import REGRET_MAX, Learner
from proto.units import ONE

SHADOW = Path("cross/thesaddestlandscape/shadow_results.csv.gz")
WINDOWS = Path("polymarket/btc5m_ladder_2026-07-26/windows_hist.jsonl.gz")
PANEL = Path("kalshi/kxbtc15m_ws_2026-05/panel_1s_top3.csv.gz")
RESULTS = Path("kalshi/kxbtc15m_ws_2026-05/windows.csv")
WINDOW_S = 300
BEFORE_CLOSE_S = 420
"""When a Kalshi window is forecast: about half of it is left, and its price still means something."""
OUTCOMES_MIN = 100
KALSHI_OUTCOMES_MIN = 30
"""There are some hundred windows: with the default nothing could be earned."""
SEED = 7


class Prediction(NamedTuple):
    """A forecast beside the market's price; times in seconds, probabilities in millionths."""

    market: str
    at: float
    ended_at: float
    forecast: int
    price: int
    happened: bool


class Outcome(NamedTuple):
    """What became of one forecaster. Losses in nats a market, ``path``: the sum of loss against the market after each.

    ``brier_calibrated``: of the forecasts as they were calibrated when they were made.
    """

    name: str
    markets: int
    brier: float
    brier_calibrated: float
    brier_market: float
    loss: float
    loss_market: float
    weight: int
    peak: float
    total: float
    path: tuple[float, ...]


def shadow_predictions(folder: Path) -> dict[str, list[Prediction]]:
    """The recorded forecasts by model."""
    found: dict[str, list[Prediction]] = {}
    with gzip.open(folder / SHADOW, "rt") as file:
        for number, row in enumerate(csv.DictReader(file)):
            made = Prediction(
                f"{row['market_id']}-{number}",
                datetime.fromisoformat(row["prediction_timestamp"]).timestamp(),
                datetime.fromisoformat(row["resolution_timestamp"]).timestamp(),
                round(float(row["prob_yes_modelo"]) * ONE),
                round(float(row["precio_yes_mercado"]) * ONE),
                row["outcome_real"] == "YES",
            )
            found.setdefault(row["strategy"], []).append(made)
    return found


Forecaster = Callable[[random.Random, int, bool], int]
FORECASTERS: dict[str, Forecaster] = {
    "near perfect": lambda chance, _, happened: (
        round((0.9 if happened else 0.1) * ONE) + chance.randint(-50_000, 50_000)
    ),
    "good": lambda chance, price, happened: _moved(price, (0.4 if happened else -0.4) + chance.gauss(0, 0.3)),
    "copies the price": lambda _, price, __: price,
    "noise": lambda chance, _, __: chance.randrange(ONE),
    "systematically wrong": lambda _, __, happened: 200_000 if happened else 800_000,
}


def _moved(price: int, log_odds: float) -> int:
    share = clamp_forecast(price) / ONE
    return round(ONE / (1 + math.exp(-(math.log(share / (1 - share)) + log_odds))))


class Window(NamedTuple):
    """A recorded window: its middle price at a moment, and how it ended. Times in seconds."""

    name: str
    at: float
    ended_at: float
    price: int
    happened: bool


def polymarket_windows(folder: Path) -> list[Window]:
    """Five-minute windows of Polymarket, with the middle of the book about a minute before the end."""
    with gzip.open(folder / WINDOWS, "rt") as file:
        rows = [row for row in map(json.loads, file) if row["up_mid"] is not None]
    return [
        Window(
            str(row["ts"]), row["ts"], row["ts"] + WINDOW_S, round(row["up_mid"] * ONE), row["winner"] == "UP"
        )
        for row in sorted(rows, key=lambda row: row["ts"])
    ]


def kalshi_windows(folder: Path) -> list[Window]:
    """Fifteen-minute windows of Kalshi that have a result, with the middle of the first book seven minutes before the end."""
    with (folder / RESULTS).open() as file:
        results = {row["market_ticker"]: row["result"] for row in csv.DictReader(file) if row["result"]}
    found: dict[str, Window] = {}
    with gzip.open(folder / PANEL, "rt") as file:
        for row in csv.DictReader(file):
            name = row["market_ticker"]
            if name in found or name not in results or not row["yes_bid1_cents"] or not row["no_bid1_cents"]:
                continue
            at = datetime.fromisoformat(row["ts_utc"]).timestamp()
            close = datetime.fromisoformat(row["close_time"]).timestamp()
            if 0 < close - at <= BEFORE_CLOSE_S:
                cents = (float(row["yes_bid1_cents"]) + 100 - float(row["no_bid1_cents"])) / 2
                found[name] = Window(name, at, close, round(cents * ONE / 100), results[name] == "yes")
    return sorted(found.values(), key=lambda window: window.at)


def window_predictions(
    windows: Iterable[Window], forecaster: Forecaster, seed: int = SEED
) -> list[Prediction]:
    """One forecast for each window, by a made-up forecaster."""
    chance = random.Random(seed)
    return [
        Prediction(
            window.name,
            window.at,
            window.ended_at,
            forecaster(chance, window.price, window.happened),
            window.price,
            window.happened,
        )
        for window in windows
    ]


def run(name: str, predictions: Iterable[Prediction], outcomes_min: int = OUTCOMES_MIN) -> Outcome:
    """Feed forecasts and outcomes in the order of their times; losses are computed again from what was said."""
    learner, calibrator, said = Learner(), Calibrator(), dict[str, tuple[int, int]]()
    events = [(made.at, 1, made) for made in predictions] + [(made.ended_at, 0, made) for made in predictions]
    brier = brier_calibrated = brier_market = loss = loss_market = total = peak = 0.0
    path: list[float] = []
    for _, is_forecast, made in sorted(events, key=lambda event: (event[0], event[1], event[2].market)):
        price = clamp_market(made.price)
        if is_forecast:
            calibrated = calibrator.calibrate(made.forecast)
            weighed = learner.commit(made.market, calibrated, made.price, outcomes_min)
            calibrator.add(made.market, made.forecast)
            said[made.market] = (weighed.probability, calibrated)
            continue
        probability, calibrated = said.pop(made.market)
        outcome = ONE if made.happened else 0
        forecast = clamp_forecast(made.forecast)
        brier += ((forecast - outcome) / ONE) ** 2
        brier_calibrated += ((calibrated - outcome) / ONE) ** 2
        brier_market += ((price - outcome) / ONE) ** 2
        loss += log_loss(forecast, happened=made.happened)
        of_market = log_loss(price, happened=made.happened)
        loss_market += of_market
        total += log_loss(probability, happened=made.happened) - of_market
        peak = max(peak, total)
        path.append(total)
        learner.settle(made.market, happened=made.happened)
        calibrator.settle(made.market, happened=made.happened)
    n = max(len(path), 1)
    means = (brier / n, brier_calibrated / n, brier_market / n, loss / n, loss_market / n)
    return Outcome(name, len(path), *means, learner.weight(outcomes_min), peak, total, tuple(path))


def outcomes(folder: Path) -> list[Outcome]:
    """All forecasters: the nine recorded, all of them as one, the five made up on two venues' windows."""
    by_model = shadow_predictions(folder)
    found = [run(name, made) for name, made in sorted(by_model.items(), key=lambda item: -len(item[1]))]
    found.append(run("all nine as one", [made for each in by_model.values() for made in each]))
    windows = polymarket_windows(folder)
    found += [run(name, window_predictions(windows, made)) for name, made in FORECASTERS.items()]
    windows = kalshi_windows(folder)
    found += [
        run(f"{name}, Kalshi", window_predictions(windows, made), KALSHI_OUTCOMES_MIN)
        for name, made in FORECASTERS.items()
    ]
    return found


def plot(found: Sequence[Outcome]) -> str:
    """Loss against the market over the markets that ended, as an SVG; below the line is better than the market."""
    width, height, margin = 720, 320, 40
    shown = [outcome for outcome in found if outcome.markets > 1 and "Kalshi" not in outcome.name]
    low = -6.0
    high = 1.2

    def place(index: int, count: int, value: float) -> str:
        x = margin + (width - 2 * margin) * index / max(count - 1, 1)
        y = margin + (height - 2 * margin) * (high - max(value, low)) / (high - low)
        return f"{x:.1f},{y:.1f}"

    colours = ("#1b6ca8", "#c0392b", "#27874f", "#8e5ea2", "#b7791f")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for value, words in ((REGRET_MAX, "bound: ln 2"), (0.0, "the market"), (-5.0, "5 nats better")):
        left, right = place(0, 2, value), place(1, 2, value)
        lines.append(
            f'<polyline points="{left} {right}" stroke="#888888" stroke-dasharray="4 3" fill="none"/>'
        )
        x, y = left.split(",")
        lines.append(f'<text x="{x}" y="{float(y) - 4:.1f}" fill="#555555">{words}</text>')
    moved = [outcome for outcome in shown if any(outcome.path)]
    for colour, outcome in zip(colours * 3, moved, strict=False):
        step = max(1, outcome.markets // 200)
        points = [(index, value) for index, value in enumerate(outcome.path) if index % step == 0]
        drawn = " ".join(place(index, outcome.markets, value) for index, value in points if value >= low)
        lines.append(f'<polyline points="{drawn}" stroke="{colour}" stroke-width="1.6" fill="none"/>')
        row = moved.index(outcome)
        lines.append(
            f'<text x="{width - 230}" y="{height - 60 + 14 * row:.0f}" fill="{colour}">{outcome.name}</text>'
        )
    still = len(shown) - len(moved)
    lines.append(
        f'<text x="{margin}" y="{height - 10}" fill="#555555">{still} others never moved the price: 0 throughout</text>'
    )
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Print the table of the documentation; draw its picture if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.forecasts", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA_DIRECTORY, help="folder of the recordings")
    parser.add_argument("--plot", type=Path, help="write the picture here")
    given = parser.parse_args()
    found = outcomes(given.data)
    print(
        "| Forecaster | Markets | Brier | calibrated | market's | log loss | market's | weight at the end | most lost"
        " | in all |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in found:
        figures = " | ".join(
            f"{value:.4f}"
            for value in (row.brier, row.brier_calibrated, row.brier_market, row.loss, row.loss_market)
        )
        print(
            f"| {row.name} | {row.markets:,} | {figures} | {row.weight / ONE:.2f} | {row.peak:.3f} | {row.total:+.3f} |"
        )
    if given.plot is not None:
        given.plot.write_text(plot(found), encoding="utf-8")
    stamp = datetime.now(UTC).date().isoformat()
    print(f"\nMeasured {stamp}; losses in nats; the bound is {REGRET_MAX:.3f}.")


if __name__ == "__main__":
    main()
