"""What every service process does alike: arguments, connection, metrics, signals, the run loop."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from libs.config.environment import ChildEnvironment, Environment
from libs.keys.signing import Verifier
from libs.machine.errors import MachineStopped
from libs.machine.host import Host, HostSettings
from libs.machine.machine import Machine
from libs.observability import logs
from libs.runtime import hand_out
from libs.runtime.boot import boot_id
from libs.runtime.layout import BUILD, RunFile, StateFileError, StateLayout
from libs.tape.cluster import node_ids, went_down
from libs.tape.connection import Link, open_link, servers_of
from libs.tape.lease import Lease, LeaseLost
from libs.tasks import cancel_all, run_until_first
from proto.subjects import ALL_SERVICES

NICENESS = {"monitor": 2, "exit": 2, "journal": 5, "advisor": 5}
"""Who lets the chain from feed to execution go first when all of them wake at once. The monitor keeps the session's clock
and exit its stops, so those two step back a little, and nobody starves beside a busy machine."""
EXIT_FAILED = 1
EXIT_STOPPED_MACHINE = 4
EXIT_LEASE_LOST = 5
"""Another process leads now. Whoever started this one starts it again, and it waits."""


class Context:
    """A service's surroundings: state directory, run file, connection, public keys, instance."""

    def __init__(self, service: str, layout: StateLayout, run: RunFile, link: Link) -> None:
        self.service = service
        self.layout = layout
        self.run = run
        self.link = link
        self.verifier = Verifier.load(layout.public_keys)
        self.instance = ChildEnvironment.read().instance
        self.lease: Lease | None = None
        if run.cluster and service in ALL_SERVICES:
            self.lease = Lease(link, service, layout.password(service), self.instance)
        self.stopping = asyncio.Event()
        self.on_stop: list[Callable[[], None]] = []

    def settings(self) -> HostSettings:
        """Settings of a host in this service."""
        return HostSettings(
            service=self.service,
            tape=self.run.tape,
            state=self.layout.root,
            build=BUILD,
            archive=self.layout.archive,
            lockstep=self.run.lockstep,
            adopt=tuple(self.run.adopt),
            adopt_to=self.run.adopt_to,
        )

    def stop(self) -> None:
        """Ask everything in this process to come to a planned stop."""
        self.stopping.set()
        for callback in self.on_stop:
            callback()

    def host(self, machines: Sequence[Callable[[], Machine]], **options: Any) -> Host:
        """A host for the machines of this service, stopped when the service is."""
        host = Host(self.settings(), machines, self.link, self.verifier, lease=self.lease, **options)
        self.on_stop.append(host.stop)
        return host


Main = Callable[[Context], Awaitable[None]]

log = logging.getLogger("presage.service")


def run_service(service: str, main: Main, arguments: Sequence[str] | None = None) -> int:
    """Run a service until it is asked to stop; the exit code for ``sys.exit``."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}")
    parser.add_argument("--state", type=Path, default=Environment.read().state)
    options = parser.parse_args(arguments)
    logs.setup(service)
    layout = StateLayout(options.state.resolve())
    hand_out.take(service, layout)
    try:
        run = layout.read_run()
    except FileNotFoundError:
        log.error("expected a run in %s (start one with presage up), was none", layout.root)
        return EXIT_FAILED
    if _is_over(run):
        # The tape may have lost its tail with the machine; only the supervisor can tell, and begins a new epoch then.
        log.error(
            "expected a run that began after the machine did, was an earlier one; presage up begins one"
        )
        return EXIT_FAILED
    with contextlib.suppress(OSError):
        os.nice(NICENESS.get(service, 0))
    # What is loaded by now lives as long as the process: the collector need not walk it between two ticks.
    gc.collect()
    gc.freeze()
    return uvloop.run(_run(service, layout, run, main))


def _is_over(run: RunFile) -> bool:
    """Whether the machine that had the tape, or most nodes of the cluster that had it, went down since."""
    if run.brokers:
        return went_down(run.brokers, asyncio.run(node_ids(servers_of(run.broker_url))))
    return bool(run.boot) and run.boot != boot_id()


async def _run(service: str, layout: StateLayout, run: RunFile, main: Main) -> int:
    loop = asyncio.get_running_loop()
    link = await open_link(run.broker_url, service, layout.password(service))
    context = Context(service, layout, run, link)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, context.stop)
    watching = asyncio.create_task(_watch_supervisor(context))
    try:
        await _lead(context, main)
    except MachineStopped as e:
        log.error("machine stopped", extra={"detail": str(e)})
        return EXIT_STOPPED_MACHINE
    except LeaseLost as e:
        log.error("lease lost", extra={"detail": str(e)})
        return EXIT_LEASE_LOST
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await link.close()
    return 0


async def _lead(context: Context, main: Main) -> None:
    """Run the service; where it holds a lease, end when that is lost, and give it back at a planned stop.

    Raises:
        LeaseLost: another process leads.
    """
    lease = context.lease
    if lease is None:
        await main(context)
        return
    running, keeping = asyncio.ensure_future(main(context)), asyncio.create_task(lease.keep())
    try:
        await asyncio.wait((running, keeping), return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
        running.result()
    finally:
        await cancel_all((running, keeping))
        await lease.release()


async def wait_for_lease(context: Context) -> bool:
    """Wait, where there are leases, until this process leads; whether it does, and was not asked to stop instead."""
    if context.lease is not None:
        await run_until_first(context.lease.wait(), _stopped(context))
    return not context.stopping.is_set()


async def _watch_supervisor(context: Context) -> None:
    """Stop when the supervisor is gone, or has written another run for a service that it did not start.

    No process stays behind, however the supervisor ended; and none goes on with what is no longer so.
    """
    supervisor = context.run.supervisor_pid
    async with hand_out.following(context.service, context.layout):
        while os.getppid() == supervisor if supervisor else not _has_another_run(context):
            await asyncio.sleep(SUPERVISOR_CHECK_S)
    context.stop()


def _has_another_run(context: Context) -> bool:
    """Whether the run file has changed; one that cannot be read says nothing."""
    try:
        # Its nodes come and go, and the supervisor notes it; that is no other run.
        return msgspec.structs.replace(context.layout.read_run(), brokers=context.run.brokers) != context.run
    except (OSError, StateFileError):
        return False


SUPERVISOR_CHECK_S = 0.5


async def _stopped(context: Context) -> None:
    await context.stopping.wait()


async def gather_until_stopped(context: Context, *tasks: Coroutine[Any, Any, None]) -> None:
    """Run tasks until the service is asked to stop; the first error of any ends all and is raised."""
    await run_until_first(*tasks, _stopped(context))
