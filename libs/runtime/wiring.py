"""A host with its metrics and health endpoints."""

from libs.machine.host import Host
from libs.runtime.service import Context


async def serve_host(context: Context, host: Host) -> None:
    """Run a host until the service is stopped."""
    await host.run()
