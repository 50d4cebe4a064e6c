"""Writes Grafana's dashboards, ``deploy/grafana/dashboards/``, with Grafana's own builders from ``boards.py``.

``python -m tools.generate.dashboards`` writes them; ``--check`` compares (exit code 3 when a file differs).
"""

import argparse
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    GridPos,
)

from tools.generate.boards import BOARDS, Board, Kind, Panel

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("deploy/grafana/dashboards")
OK, DIFFERENT = 0, 3
COLUMNS, HEIGHT, NUMBER_HEIGHT, ROW_HEIGHT = 24, 7, 4, 1
DATASOURCE_UID = "prometheus"
"""Of ``deploy/grafana/provisioning``; another one can be chosen at the top of each dashboard."""
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
LINE_WIDTH, FILL = 1, 8


def render(board: Board) -> str:
    """A dashboard as Grafana reads it."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["presage"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("10s")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(
            dashboard.DashboardLink("Presage")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["presage"])
            .as_dropdown(True)
        )
    )
    number, top = 0, 0
    for section in board.sections:
        number += 1
        made = made.with_row(
            dashboard.Row(section.title).id(number).grid_pos(GridPos(h=ROW_HEIGHT, w=COLUMNS, x=0, y=top))
        )
        top += ROW_HEIGHT
        left, tallest = 0, 0
        for panel in section.panels:
            if left + panel.width > COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            height = NUMBER_HEIGHT if panel.kind is Kind.NUMBER else HEIGHT
            number += 1
            place = GridPos(h=height, w=panel.width, x=left, y=top)
            made = made.with_panel(_panel(panel).id(number).grid_pos(place))
            left, tallest = left + panel.width, max(tallest, height)
        top += tallest
    return JSONEncoder(sort_keys=True, indent=1).encode(made.build()) + "\n"


def _panel(panel: Panel) -> timeseries.Panel | stat.Panel:
    made: timeseries.Panel | stat.Panel
    if panel.kind is Kind.NUMBER:
        made = stat.Panel()
    else:
        lines = timeseries.Panel().line_width(LINE_WIDTH).show_points(VisibilityMode.NEVER)
        lines = lines.legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        made = (
            lines.line_interpolation(LineInterpolation.STEP_AFTER)
            if panel.kind is Kind.STEPS
            else lines.fill_opacity(FILL)
        )
    made = made.title(panel.title).description(panel.about).unit(panel.unit).datasource(DATASOURCE)
    for index, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend)
        # Several without a name of their own would be one.
        made = made.with_target(target.ref_id(chr(ord("A") + index)).datasource(DATASOURCE))
    return made


def files() -> dict[Path, str]:
    """Every file with its content."""
    return {FOLDER / f"{board.uid}.json": render(board) for board in BOARDS}


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    differing = []
    for path, content in files().items():
        file = ROOT / path
        if file.exists() and file.read_text() == content:
            continue
        differing.append(path)
        if not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        print(f"{'differs' if check else 'written'}: {path}")
    return DIFFERENT if check and differing else OK


if __name__ == "__main__":
    sys.exit(main())
