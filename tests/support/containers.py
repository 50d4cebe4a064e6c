"""Broker and database as containers of the usual images, for tests to run a second time at: where a Docker engine answers."""

import gc
import os
import time
import warnings
from functools import cache
from typing import Any

import docker
from docker.errors import DockerException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from libs.tape.broker import Broker, free_port

NATS_IMAGE = "nats:2.15-alpine"
POSTGRES_IMAGE = "postgres:18-alpine"
"""Both of the versions that we start ourselves."""
ENGINE_S_MAX = 10.0
READY_S_MAX = 60.0
POLL_S = 0.05
STOP_S = 5

# The fixtures end what they start; the library's own watchman is one more image to have.
testcontainers_config.ryuk_disabled = True


@cache
def what_is_missing(image: str) -> str:
    """Why no container of an image can be started; empty when one can."""
    reason = ""
    try:
        client = docker.from_env(timeout=ENGINE_S_MAX)
        try:
            if not client.images.list(name=image):
                client.images.pull(image)
        finally:
            client.close()
    except (DockerException, OSError) as e:
        reason = str(e)[:200]
    if not reason:
        return ""
    with warnings.catch_warnings():
        # The engine's client leaves its socket open where nobody answers; a later test would be blamed.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return f"no containers: expected a Docker engine that has or can pull {image}, was {reason}"


def _container(image: str, port: int, host_port: int) -> DockerContainer:
    """One whose port is on loopback alone."""
    made = DockerContainer(image)
    made.ports[str(port)] = ("127.0.0.1", host_port)  # type: ignore[assignment] # the engine's client takes both
    return made


class ContainerBroker(Broker):
    """A broker whose server runs in a container, on a state directory that is mounted where it is."""

    _container: DockerContainer | None = None

    def start(self) -> None:
        """Start the container; returns at once, ``ready`` waits for it."""
        self._settle_port()
        config = self._write_config()
        config.write_text(
            config.read_text().replace(f"listen: 127.0.0.1:{self.port}", "listen: 0.0.0.0:4222")
        )
        self._container = (
            _container(NATS_IMAGE, 4222, self.port)
            .with_volume_mapping(self.directory, str(self.directory), "rw")
            .with_command(["-c", str(config)])
            # What it writes is the test's, which removes it.
            .with_kwargs(user=f"{os.getuid()}:{os.getgid()}")
            .start()
        )

    def stop(self) -> None:
        """Ask it to stop, and remove it."""
        container, self._container = self._container, None
        if container is not None:
            container.get_wrapped_container().stop(timeout=STOP_S)
            container.stop()

    def kill(self) -> None:
        """End it without warning."""
        container, self._container = self._container, None
        if container is not None:
            container.stop()


class ContainerPostgres:
    """A database server in a container, started, stopped and killed as an ``EmbeddedPostgres`` is."""

    def __init__(self) -> None:
        port = free_port()
        self.dsn = f"postgresql://presage:test@127.0.0.1:{port}/presage"
        self._container = _container(POSTGRES_IMAGE, 5432, port).with_envs(
            POSTGRES_USER="presage", POSTGRES_PASSWORD="test", POSTGRES_DB="presage"
        )
        self._wrapped: Any = None

    def start(self) -> str:
        """Start it, and wait until it takes connections; its address."""
        if self._wrapped is None:
            self._wrapped = self._container.start().get_wrapped_container()
        else:
            self._wrapped.start()
        # Over TCP: while it makes its cluster, the image serves its own socket only.
        asks = ["pg_isready", "--host", "127.0.0.1", "--username", "presage", "--dbname", "presage"]
        deadline = time.monotonic() + READY_S_MAX
        while self._wrapped.exec_run(asks).exit_code != 0:
            assert time.monotonic() < deadline, f"expected a database, was {self._wrapped.logs()[-600:]!r}"
            time.sleep(POLL_S)
        return self.dsn

    def stop(self) -> None:
        """Ask it to stop; its data stay."""
        self._wrapped.stop(timeout=STOP_S)

    def kill(self) -> None:
        """End it without warning; its data stay."""
        self._wrapped.kill()

    def remove(self) -> None:
        """End it, its data too."""
        self._container.stop()
