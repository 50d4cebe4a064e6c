"""The signal service: ``python -m services.signal --state DIR``."""

import sys

from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from services.signal.discovery import load_strategies
from services.signal.machine import SignalMachine


async def main(context: Context) -> None:
    strategies = load_strategies(context.run.strategies)
    await serve_host(context, context.host([lambda: SignalMachine(strategies)]))


if __name__ == "__main__":
    sys.exit(run_service("signal", main))
