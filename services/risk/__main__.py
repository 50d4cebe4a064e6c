"""The risk service: ``python -m services.risk --state DIR``. The only process with the signing key."""

import sys

from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from libs.tape.signing import APPROVAL_DOMAIN, Signer
from services.risk.machine import RiskMachine


async def main(context: Context) -> None:
    signer = Signer.load(APPROVAL_DOMAIN, context.layout.risk_key)
    await serve_host(context, context.host([RiskMachine], signer=signer))


if __name__ == "__main__":
    sys.exit(run_service("risk", main))
