"""The broker: the tape, the ledger of claims, and who may speak."""

import sys
from importlib import import_module

if "aiohttp" not in sys.modules:
    # nats-py imports it for its websocket transport, which nobody here uses: a tenth of a second and ten megabytes a
    # process. The sandbox, which needs it, finds it as usual.
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
    try:
        import_module("nats.aio.transport")
    finally:
        del sys.modules["aiohttp"]
