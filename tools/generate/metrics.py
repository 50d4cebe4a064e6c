"""Writes ``docs/reference/metrics.md``: every metric that some process exports, and where.

``python -m tools.generate.metrics`` writes it; ``--check`` compares (exit code 3 when it differs).
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from libs.observability.metrics import LATENCY_BOUNDS_NS, Metrics
from libs.observability.report_metrics import EACH, ROWS
from libs.observability.server import STATUS_PORTS
from proto.subjects import OPTIONAL_SERVICES
from proto.units import MILLISECOND

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path("docs/reference/metrics.md")
OK, DIFFERENT = 0, 3
UNITS = ("seconds", "dollars", "bytes", "ratio", "messages")
"""Units that a name ends with, before a counter's ``_total``; without one it is a number of things."""
OF_SERVICE: dict[str, str] = {
    row.name: "each service" if row.service == EACH else row.service for row in ROWS
}
EVERY = "every process"


def render() -> str:
    """The page."""
    return "\n".join((*_head(), *_table(), *_tail(), ""))


def _head() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Made by `make generate` from the code. Each process serves `/metrics`, `/healthz` (it answers) and `/readyz` (it does"
    yield "its work; else 503 and why) at a port of its own. In containers, and with `presage up --metrics-port 9400`, they are:"
    yield ""
    yield "| Process | Port |"
    yield "|---|---:|"
    yield from (f"| `{name}` | {port} |" for name, port in STATUS_PORTS.items())
    yield ""
    yield "Without that option `presage up` takes free ports and writes them into `STATE/run.json` (`metrics_ports`). Every metric"
    yield "has the label `service`. A counter never falls but when its process begins anew, and takes no value that is not a"
    yield "finite number. Latencies have buckets from"
    bounds = [bound / MILLISECOND for bound in LATENCY_BOUNDS_NS]
    yield f"{bounds[0]:g} ms to {bounds[-1] / 1000:g} s."
    yield ""


def _table() -> Iterator[str]:
    yield "| Metric | Type | Unit | Labels | Exported by | Meaning |"
    yield "|---|---|---|---|---|---|"
    rows: dict[str, str] = {}
    for process in (*STATUS_PORTS, *OPTIONAL_SERVICES):
        for name, kind, labels, about in Metrics(process).described:
            full = f"{name}_total" if kind == "counter" else name
            where = OF_SERVICE.get(name, EVERY)
            shown = ", ".join(f"`{label}`" for label in labels)
            unit = next((unit for unit in UNITS if name.endswith(f"_{unit}")), "")
            rows[full] = f"| `{full}` | {kind} | {unit} | {shown} | {where} | {about} |"
    yield from (rows[name] for name in sorted(rows))
    yield ""


def _tail() -> Iterator[str]:
    yield "What the tape says (orders, fills, rejections, latencies, alerts) every service counts from the messages it reads, so"
    yield "one of them is enough: the dashboards take the monitor's, of orders and fills execution's, of the account risk's. Beside"
    yield "these each process has Python's own `process_*`: memory, processor time, open files, when it started."
    yield "[See it in Grafana](../how-to/grafana.md)."


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    content = render()
    if (ROOT / PAGE).exists() and (ROOT / PAGE).read_text() == content:
        return OK
    if parser.parse_args().check:
        print(f"differs: {PAGE}")
        return DIFFERENT
    (ROOT / PAGE).write_text(content)
    print(f"written: {PAGE}")
    return OK


if __name__ == "__main__":
    sys.exit(main())
