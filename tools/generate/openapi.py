"""``docs/reference/openapi.json``: the console's REST interface, from its routes and the models of its answers."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from libs.operator.watch import Reports
from libs.runtime.layout import BUILD, RunFile, StateLayout
from libs.tape.connection import Link
from services.console.fold import ConsoleFold
from services.console.service import Console
from services.console.surroundings import Surroundings
from services.console.web import routes_of

PAGE = Path("docs/reference/openapi.json")


def render_openapi() -> str:
    """The document as ``/api/v1/openapi.json`` answers it."""
    with TemporaryDirectory() as folder:
        layout = StateLayout(Path(folder))
        layout.prepare()
        run = RunFile(broker_url="", tape="")
        now = Surroundings(layout, run, Link("console"), Reports(), ConsoleFold("paper"), BUILD)
        document = routes_of(Console(now, is_secure=False)).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
