"""Figures of trading in words: for tables of the terminal, Markdown and pages alike."""

from libs.performance.account import Performance
from libs.performance.figure import Figure
from libs.performance.trades import TradeFigures
from libs.view import wording
from libs.view.moment import moment
from proto.units import ONE

WORDS = {
    "return": ("return", "%"),
    "annual_return": ("return a year", "%"),
    "sharpe": ("Sharpe ratio", ""),
    "sortino": ("Sortino ratio", ""),
    "calmar": ("Calmar ratio", ""),
    "brier": ("Brier score of own fair values", ""),
    "log_score": ("log score of own fair values", "nat"),
    "time_in_market": ("time in market", "%"),
    "turnover": ("turnover", "× equity"),
}
HEADINGS = (
    "trades>",
    "profit>",
    "fees>",
    "win rate>",
    "profit factor>",
    "a trade>",
    "by stake>",
    "expected>",
    "captured>",
)


def number(figure: Figure, unit: str = "") -> str:
    """A figure with its unit and interval; a dash and the reason where it has none."""
    if figure.value is None:
        return f"– ({figure.reason})"
    if unit == "%":
        text = f"{signed(100 * figure.value)} %"
        bounds = [f"{signed(100 * bound)}" for bound in (figure.low, figure.high) if bound is not None]
    else:
        text = f"{signed(figure.value)} {unit}".strip()
        bounds = [signed(bound) for bound in (figure.low, figure.high) if bound is not None]
    return f"{text} [{', '.join(bounds)}]" if bounds else text


def signed(value: float) -> str:
    """Two decimals, four of what is small, with a minus that is one."""
    text = f"{abs(value):,.2f}" if abs(value) >= 0.1 or value == 0 else f"{abs(value):.4f}"
    return f"{wording.MINUS}{text}" if value < 0 and float(text.replace(",", "")) else text


def account_lines(found: Performance, unit: str) -> list[str]:
    """The money of the account in a line, and its deepest fall in another."""
    account = found.account
    made = {
        name: wording.money(value, signed=name.endswith("profit"), unit=unit)
        for name, value in account._asdict().items()
    }
    lines = [
        (
            f"equity {made['equity']}, profit {made['profit']} (realised {made['realised_profit']}, unrealised"
            f" {made['unrealised_profit']}, fees {made['fees']}), paid in {made['deposits']}"
        )
    ]
    fall = found.drawdown
    if fall.depth:
        back = f", made good {moment(fall.recovered_at)[:16]}" if fall.recovered_at else ", not made good"
        lines.append(
            f"deepest drawdown {100 * fall.depth:.2f} % ({wording.money(fall.amount, unit=unit)}): from"
            f" {moment(fall.peak_at)[:16]} to {moment(fall.trough_at)[:16]} UTC{back}"
        )
    else:
        lines.append("equity never fell below an earlier peak")
    return lines


def figure_rows(found: Performance) -> list[tuple[str, str, str]]:
    """Name, value and number of samples of each figure of the account."""
    rows = []
    for name, figure in found.figures().items():
        word, unit = WORDS[name]
        rows.append((word, number(figure, unit), f"{figure.samples:,}"))
    return rows


def cells(name: str, figures: TradeFigures, unit: str) -> list[str]:
    """A row of the table of trades."""
    return [
        name,
        f"{figures.trades:,}",
        wording.money(figures.profit, signed=True, unit=unit),
        wording.money(figures.fees, unit=unit),
        share(figures.win_rate),
        plain(figures.profit_factor),
        plain(figures.expectancy, money_unit=unit),
        share(figures.profit_per_stake),
        wording.money(figures.edge_expected, signed=True, unit=unit),
        wording.money(figures.edge_captured, signed=True, unit=unit),
    ]


def share(figure: Figure) -> str:
    """A share in percent, without its interval."""
    return "–" if figure.value is None else f"{signed(100 * figure.value)} %"


def plain(figure: Figure, money_unit: str = "") -> str:
    """A number, or money where a unit is given, without its interval."""
    if figure.value is None:
        return "–"
    if money_unit:
        return wording.money(round(figure.value * ONE), signed=True, unit=money_unit)
    return signed(figure.value)
