"""The report as one HTML page: made of its document alone, without a script and without anything from elsewhere."""

import html
from collections.abc import Sequence
from importlib import resources
from typing import Any

from libs.performance.figure import Figure
from libs.performance.trades import TradeFigures
from libs.view import wording
from libs.view.figures import HEADINGS, WORDS, cells, number
from libs.view.moment import moment
from proto.units import ONE, show
from tools.research.plots import plots

ROWS_MAX = 2_000
"""Trades on the page; the JSON and the CSV have all."""
FEW = 10
"""Below so many trades a row is grey."""
UNIT = "$"


def page(document: dict[str, Any]) -> str:
    """The page of a report."""
    sections = [
        _head(document),
        _checks(document),
        _warnings(document),
        _money(document),
        *plots(document, section),
        _splits(document),
        _rejections(document),
        _list_section("Assumptions", document["assumptions"]),
        _inputs(document),
        _trades(document),
    ]
    return document_page("Backtest", sections)


def document_page(title: str, parts: Sequence[str]) -> str:
    """A whole page of its parts."""
    style = resources.files("tools.research").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{text(title)}</title>'
        f"<style>\n{style}</style></head><body><main>\n" + "\n".join(parts) + "\n</main></body></html>\n"
    )


def section(title: str, body: str, kind: str = "") -> str:
    """A part of the page with its heading."""
    anchor = title.lower().replace(" ", "-").replace(",", "")
    return f'<section class="{kind}" aria-labelledby="{anchor}"><h2 id="{anchor}">{text(title)}</h2>{body}</section>'


def text(value: object) -> str:
    """Words of anybody, harmless in a page."""
    return html.escape(wording.clean(str(value)))


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], few: Sequence[int] = ()) -> str:
    """Rows of harmless HTML below headings; a heading that ends with ``>`` is of numbers. ``few``: rows in grey."""
    classes = [' class="r"' if head.endswith(">") else "" for head in heads]
    top = "".join(
        f'<th scope="col"{kind}>{text(head.rstrip(">"))}</th>'
        for head, kind in zip(heads, classes, strict=True)
    )
    body = "".join(
        ('<tr class="few">' if place in few else "<tr>")
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, classes, strict=True))
        + "</tr>"
        for place, row in enumerate(rows)
    )
    return (
        f'<div class="scroll" role="region" aria-label="{text(caption)}" tabindex="0"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _money_of(value: int, *, signed: bool = True) -> str:
    made = text(wording.money(value, signed=signed, unit=UNIT))
    if not signed or not value:
        return made
    return f'<span class="{"good" if value > 0 else "bad"}">{made}</span>'


def _items(rows: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{row}</li>' for row in rows)}</ul>"


def _list_section(title: str, rows: Sequence[str]) -> str:
    return section(title, _items([text(row) for row in rows]))


def _head(document: dict[str, Any]) -> str:
    span = f"{moment(document['begins_at'])[:16]} to {moment(document['ends_at'])[:16]} UTC"
    names = ", ".join(document["strategies"])
    return (
        f"<h1>Backtest: {text(names)}</h1><p>{text(span)}</p>"
        f'<section class="limits"><p>{text(document["limits"])}</p></section>'
    )


def _checks(document: dict[str, Any]) -> str:
    passed = document["checks_passed"]
    rows = [
        [
            "passed"
            if not check["failed"] and check["looked"]
            else "failed"
            if check["failed"]
            else "nothing to look at",
            text(check["text"]),
            f"{check['looked']:,}",
            f"{check['failed']:,}",
            text(check["first"]),
        ]
        for check in document["checks"]
    ]
    heads = ("outcome", "what was looked at", "looks>", "failures>", "first failure")
    words = "Every self-check holds." if passed else "A self-check failed: do not rely on this report."
    body = f"<p><strong>{words}</strong></p>" + table("Self-checks of this report", heads, rows)
    return section("Self-checks", body, "passed" if passed else "failed")


def _warnings(document: dict[str, Any]) -> str:
    rows = document["warnings"]
    body = _items([text(row) for row in rows]) if rows else "<p>None.</p>"
    return section("Warnings", body, "limits" if rows else "")


def _money(document: dict[str, Any]) -> str:
    account = document["performance"]["account"]
    names = ("equity", "profit", "realised_profit", "unrealised_profit", "fees", "rebates", "deposits")
    rows = [
        [text(name.replace("_", " ")), _money_of(account[name], signed=name.endswith("profit"))]
        for name in names
    ]
    rows.append(["slippage", _money_of(document["performance"]["trades"]["slippage"], signed=False)])
    drawdown = document["performance"]["drawdown"]
    rows.append(
        ["drawdown", f"{_money_of(drawdown['amount'], signed=False)} ({100 * drawdown['depth']:.2f} %)"]
    )
    fills = document["fills"]
    rows.append(["fills", f"{fills['taker']:,} took liquidity, {fills['maker']:,} rested"])
    figures = [
        [text(WORDS[name][0]), text(number(Figure(**figure), WORDS[name][1])), f"{figure['samples']:,}"]
        for name, figure in document["performance"]["figures"].items()
    ]
    return section(
        "Money and figures",
        table("The account, in dollars", ("what", "amount>"), rows)
        + table("Figures; a dash says why there is no number", ("figure", "value>", "samples>"), figures),
    )


def _splits(document: dict[str, Any]) -> str:
    total = document["performance"]["trades"]
    parts = []
    for name, rows in document["performance"]["by"].items():
        shown = [*rows.items(), ("all", total)] if len(rows) != 1 else list(rows.items())
        few = [place for place, (_, figures) in enumerate(shown) if figures["trades"] < FEW]
        made = [
            [text(cell) for cell in cells(key, trade_figures_of(figures), UNIT)] for key, figures in shown
        ]
        parts.append(table(f"Closed trades by {name}", (name, *HEADINGS), made, few))
    return section("Closed trades by what made them", "".join(parts), "long")


def trade_figures_of(document: dict[str, Any]) -> TradeFigures:
    """Figures of trades from their document."""
    values: dict[str, Any] = {
        name: Figure(**value) if isinstance(value, dict) else value for name, value in document.items()
    }
    return TradeFigures(**values)


def _rejections(document: dict[str, Any]) -> str:
    summary = document["summary"]
    rows = [[text(name), f"{count:,}"] for name, count in document["rejections"].items()]
    words = (
        f"{wording.counted(summary['proposals'], 'proposal')}, {summary['approvals']:,} approved,"
        f" {summary['rejected']:,} rejected. A rejection counts for each check that failed."
    )
    return section(
        "Rejections", f"<p>{text(words)}</p>" + table("Failed checks", ("check", "rejections>"), rows)
    )


def _inputs(document: dict[str, Any]) -> str:
    rows = [
        [text(row["name"]), f"{row['bytes']:,}", f"<code>{row['sha256']}</code>"]
        for row in document["inputs"]
    ]
    changed = ", ".join(f"{name}={value}" for name, value in document["changed"].items()) or "none"
    facts = [
        f"settings changed with the command: <code>{text(changed)}</code>",
        f"hash of all settings: <code>{document['settings_hash']}</code>",
        f"hash of all decisions: <code>{document['outputs_hash']}</code>",
        f"trials this was chosen from: {document['trials'] or 'not stated'}",
        f"presage {text(document['version'])}",
    ]
    heads = ("recording", "bytes>", "SHA-256 of its files")
    return section("Made of", table("Recordings", heads, rows) + _items(facts))


def _trades(document: dict[str, Any]) -> str:
    trades = document["trades"]
    rows = [
        [
            text(moment(trade["opened_at"])[:19]),
            text(trade["title"] or trade["instrument"]),
            text(trade["strategy"]),
            text(wording.quantity(trade["quantity"])),
            text(wording.price(trade["entry_price"])),
            text(wording.price(trade["exit_price"])),
            _money_of(trade["fees"], signed=False),
            _money_of(trade["expected"]),
            _money_of(trade["profit"]),
            text(trade["ended"].replace("_", " ")),
            _why(trade),
        ]
        for trade in trades[:ROWS_MAX]
    ]
    heads = (
        "opened (UTC)",
        "contract",
        "strategy",
        "contracts>",
        "entry>",
        "exit>",
        "fees>",
        "expected>",
        "profit>",
    )
    left = (
        f" The first {ROWS_MAX:,} are here; report.json and trades.csv have all."
        if len(trades) > ROWS_MAX
        else ""
    )
    body = table(f"{wording.counted(len(trades), 'closed trade')}.{left}", (*heads, "ended by", "why"), rows)
    return section("Trades", body, "long")


def _why(trade: dict[str, Any]) -> str:
    why = trade["why"]
    if why is None:
        return "–"
    evidence = ", ".join(f"{name} {show(value)}" for name, value in why["evidence"])
    words = (
        f"{why['text']}: fair value {wording.price(why['fair_value'])}, edge {why['edge'] / ONE:.4f};"
        f" {wording.counted(why['checks_passed'], 'check')} passed"
    )
    return f"<details><summary>{text(words)}</summary>{text(evidence)}</details>"
