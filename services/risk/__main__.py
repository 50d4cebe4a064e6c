"""The risk service: ``python -m services.risk --state DIR``. The only process with the signing key."""

import sys
from typing import Any

from libs.keys.signing import APPROVAL_DOMAIN, Signer
from libs.machine.host import Host
from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from services.risk.machine import RiskMachine


async def main(context: Context) -> None:
    signer = Signer.load(APPROVAL_DOMAIN, context.layout.risk_key)
    host = context.host([RiskMachine], signer=signer)
    host.extra_report = lambda: books(host)
    await serve_host(context, host)


def books(host: Host) -> dict[str, Any]:
    """What risk adds to its health report: the account (millionths of a dollar), and how old a book may be."""
    machine = host.runners[0].machine if host.runners else None
    if not isinstance(machine, RiskMachine):
        return {}
    params, portfolio = machine.state.params, machine.state.portfolio
    equity = machine.equity()
    return {
        "book_age_max_s": None if params is None else params.book_age_max_s,
        "cash": portfolio.cash,
        "equity": equity,
        "profit": equity - portfolio.deposits,
        "exposure": machine.exposure(),
        "exposure_limit": machine.exposure_limit(),
        "positions": len(portfolio.open),
        "risk_state": machine.risk_state().value,
        "headroom": machine.headroom(),
    }


if __name__ == "__main__":
    sys.exit(run_service("risk", main))
