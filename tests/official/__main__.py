"""Answer calls, one a line, until standard input ends.

``{"call": "values.limit_amounts", "with": {…}}`` names a function of this package and its arguments; the answer is
``{"result": …}``, or ``{"raised": …}`` with the traceback.
"""

import asyncio
import importlib
import inspect
import json
import sys
import traceback
from typing import Any


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Call what is asked for."""
    module, _, name = asked["call"].partition(".")
    try:
        found = getattr(importlib.import_module(f"tests.official.{module}"), name)(**asked["with"])
        if inspect.iscoroutine(found):
            found = asyncio.run(found)
    except Exception:  # noqa: BLE001 - whatever it was, it is the test's to judge
        return {"raised": traceback.format_exc()}
    return {"result": found}


def main() -> None:
    """Run from the command line."""
    answers = sys.stdout
    # What a client prints is no answer.
    sys.stdout = sys.stderr
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
