"""The evaluator as a process beside a system: started last, stopped first, restarted when it dies."""

import sys

from libs.runtime.layout import StateLayout
from proto.subjects import EVALUATOR
from tools.system.supervisor import Supervisor


class EvaluatorProcess:
    """It has a supervisor of its own: nothing that trades waits for it, and it serves no status."""

    def __init__(self, layout: StateLayout) -> None:
        command = [sys.executable, "-m", "tools.offline.worker", "--state", str(layout.root)]
        self._supervisor = Supervisor(layout, (EVALUATOR,), {EVALUATOR: command})
        self.child = self._supervisor.children[EVALUATOR]
        self.start = self._supervisor.start
        self.watch = self._supervisor.watch
        self.stop = self._supervisor.stop
