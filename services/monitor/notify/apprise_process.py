"""``python -m services.monitor.notify.apprise_process``: send one message by apprise, in a process that can be ended.

Reads ``{"url": …, "text": …}`` from its input and writes ``{"delivered": …, "reason": …}``. Addresses hold passwords and
tokens: they come by a pipe, and nothing of them, nor of a library's own words, is written.
"""

import contextlib
import json
import logging
import os
import sys
from typing import Any

NICENESS = 5
"""Whoever tells must not take time from what trades."""


def send(document: dict[str, Any]) -> dict[str, Any]:
    """Send to every address of the document; delivered when each has taken it."""
    try:
        import apprise
    except ImportError:
        return {"delivered": False, "reason": "expected apprise (the extra notify), was not installed"}
    target = apprise.Apprise()
    for url in document["url"].split():
        if not target.add(url):
            return {"delivered": False, "reason": "expected addresses that apprise knows, was another"}
    if not len(target):
        return {"delivered": False, "reason": "expected an address in the file, was none"}
    # Its result is neither True nor False, but has a truth value.
    result = target.notify(body=document["text"], title="", body_format=apprise.NotifyFormat.TEXT)
    delivered = bool(result)
    return {"delivered": delivered, "reason": "" if delivered else f"apprise: {result.status.name.lower()}"}


def main() -> int:
    """Read, send, write."""
    logging.disable(logging.CRITICAL)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    answer = send(json.load(sys.stdin))
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
