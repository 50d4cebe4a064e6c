"""The embedded broker: a real nats-server as a child process, and its two streams."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import psutil
from nats.aio.client import Client

from libs.bounded import clip
from libs.tape import launch
from libs.tape.client import TapeClient
from libs.tape.cluster import clustered
from libs.tape.connection import servers_of
from libs.tape.credentials import ADMIN, authorization_block, claims_prefix, make_passwords
from libs.tape.errors import BrokerUnavailable, TapeError
from proto.subjects import LEDGER, TAPE, tape_subjects

TAPE_MESSAGES_MAX = 3_000_000
"""The window: the broker needs up to a second a million to restart."""
TAPE_BYTES_MAX = 4 << 30
LEDGER_BYTES_MAX = 256 << 20
"""Reserved for claims alone, about 200,000 orders, so that a full tape never blocks a claim's answer. The oldest
give way to new ones."""
LEDGER_AGE_S = 30 * 86_400
"""Claims are forgotten after thirty days: an approval lives for seconds, and no setting lets one live longer than
a day. The tape and its archive have them for longer."""
STORE_BYTES_MAX = TAPE_BYTES_MAX + 4 * LEDGER_BYTES_MAX
"""Said explicitly: else it is three quarters of the free disk, and a broker with less does not start at all."""
DUPLICATE_WINDOW_NS = 30 * 1_000_000_000
"""Only saves storing a second emission; correctness comes from the readers' high-water marks."""
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 3.0
SYNC_INTERVAL = "1s"
PORTS = range(20_000, 30_000)
"""Below what Linux (32768) and others give to outgoing connections and to whoever listens on any port."""
PORT_ATTEMPTS = 100
STREAM_NOT_FOUND = 10059
"""The broker's code for it."""
TOO_FEW_NODES = frozenset({10005, 10008, 10023, 10074})
"""The broker's codes for a cluster in which too few nodes are up, as at its start."""
UPDATED = (
    "subjects", "subject_transform", "discard", "max_bytes", "max_age", "duplicate_window", "num_replicas",
)  # fmt: skip
"""What an existing ledger is given at a start, when it is otherwise; a tape only gets subjects it lacks, and what a
cluster needs."""
TAPE_UPDATED = ("num_replicas", "subject_transform")
STREAM_STATE_TIMEOUT_S = 2.0
"""For who asks again, or must soon know that nobody answers."""
LOOK_TIMEOUT_S = 10.0
"""For who asks once and then gives up, as a command does: a disk that is busy with a sync holds the answer up for seconds."""
PORT_TAKEN = "address already in use"
"""What the broker's log says when somebody else listens on its port."""


def free_port() -> int:
    """A free TCP port on loopback, outside the range from which the system serves whoever takes any.

    A port of that range may be given to somebody else whenever its broker restarts.

    Raises:
        TapeError: none was found.
    """
    for _ in range(PORT_ATTEMPTS):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        if _is_free(port):
            return port
    raise TapeError(f"expected a free port from {PORTS.start} to {PORTS.stop}, was none in {PORT_ATTEMPTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def binary() -> str:
    """Path of the nats-server that came with the Python environment.

    Raises:
        TapeError: when it is not installed.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise TapeError("expected nats-server beside Python (run make setup), was none")
    return found


class StreamLimits(NamedTuple):
    """How much the two streams hold. Both are windows: what is new always finds room, the oldest makes it."""

    tape_messages: int = TAPE_MESSAGES_MAX
    tape_bytes: int = TAPE_BYTES_MAX
    ledger_bytes: int = LEDGER_BYTES_MAX
    ledger_age_s: int = LEDGER_AGE_S


class Broker:
    """A nats-server in a state directory; the same port, users and streams at every start."""

    def __init__(self, directory: Path, limits: StreamLimits = StreamLimits()) -> None:  # noqa: B008  (immutable)
        self.directory = directory
        self.limits = limits
        self.passwords = make_passwords(directory / "credentials")
        self.process: subprocess.Popen[bytes] | None = None
        self._port_file = directory / "port"
        self._settled = False
        self.port = self._known_port()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def _known_port(self) -> int:
        """The port of the last start: a broker of ours may be listening there now."""
        if self._port_file.exists():
            text = self._port_file.read_text()
            if not text.isdecimal():
                raise TapeError(
                    f"expected a port in {self._port_file}, was {clip(text, 20)!r}: remove it while nothing runs,"
                    " and another one is chosen"
                )
            return int(text)
        return self._new_port()

    def _new_port(self) -> int:
        port = free_port()
        self._port_file.write_text(str(port))
        return port

    def _settle_port(self) -> None:
        """Until it was ready once: another port if somebody else took ours meanwhile.

        Restarts keep it in any case, because the clients look for the broker there.
        """
        if not self._settled and not _is_free(self.port):
            self.port = self._new_port()

    def _write_config(self) -> Path:
        return write_config(
            self.directory,
            broker_config(f"127.0.0.1:{self.port}", self.directory / "jetstream", self.passwords),
        )

    def start(self) -> None:
        """Start the process; returns at once, ``ready`` waits for it."""
        self._settle_port()
        config = self._write_config()
        with (self.directory / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._launcher(), binary(), "-c", str(config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @staticmethod
    def _launcher() -> list[str]:
        return [os.path.abspath(sys.executable), "-I", "-S", launch.__file__, str(os.getpid())]

    def end_orphans(self) -> None:
        """End brokers over this directory that an earlier owner left behind. Only its owner may call this."""
        config = str(self.directory / "nats.conf")
        found = [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if process.info["name"] == "nats-server" and config in (process.info["cmdline"] or ())
        ]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            _, found = psutil.wait_procs(found, timeout=STOP_TIMEOUT_S)

    async def ready(self) -> float:
        """Wait until both streams exist and answer; return the seconds it took.

        Raises:
            BrokerUnavailable: when the process ended or did not answer within ``READY_TIMEOUT_S``.
        """
        began = monotonic()
        while monotonic() - began < READY_TIMEOUT_S:
            if self.process is not None and self.process.poll() is not None:
                self._start_elsewhere()
            try:
                await self.ensure_streams()
            except (BrokerUnavailable, OSError):
                await asyncio.sleep(0.05)
            else:
                self._settled = True
                return monotonic() - began
        raise BrokerUnavailable(f"expected the broker to be ready in {READY_TIMEOUT_S} s, was not")

    async def ensure_streams(self) -> None:
        """See ``ensure_streams``."""
        claims = claims_prefix(self.passwords["execution"])
        await ensure_streams(self.url, self.passwords[ADMIN], claims, self.limits)

    def _start_elsewhere(self) -> None:
        """Its process ended: start it on another port when somebody was quicker at ours.

        Raises:
            BrokerUnavailable: it ended for another reason, or its clients know it by this port.
        """
        log = (self.directory / "nats.log").read_text(errors="replace")[-600:]
        if self._settled or PORT_TAKEN not in log:
            raise BrokerUnavailable(f"expected a running broker, was an exit: {log}")
        self.port = self._new_port()
        self.start()

    def stop(self) -> None:
        """Ask it to stop, and end it if it does not."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it without warning; for tests."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()


def broker_config(
    listen: str, store: Path, passwords: dict[str, str], extra: Sequence[str] = (), name: str = "presage"
) -> str:
    """The configuration of a nats-server: where it listens and stores, its users and what each may do."""
    return "\n".join(
        (
            f"server_name: {name}",
            f"listen: {listen}",
            "jetstream {",
            f"  store_dir: {json.dumps(str(store))}",
            f"  sync_interval: {json.dumps(SYNC_INTERVAL)}",
            f"  max_file_store: {STORE_BYTES_MAX}",
            "}",
            # Acknowledgement subjects keep their first form: the reader takes them apart.
            "feature_flags { js_ack_fc_v2: false }",
            *extra,
            authorization_block(passwords),
            "",
        )
    )


def write_config(directory: Path, text: str, name: str = "nats.conf") -> Path:
    """Write a configuration for its owner alone: the users' passwords are in it."""
    path = directory / name
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path


def _stream_configs(claims: str, limits: StreamLimits) -> tuple[dict[str, Any], ...]:
    common: dict[str, Any] = {
        "retention": "limits",
        "storage": "file",
        "num_replicas": 1,
        "max_consumers": -1,
        "discard": "old",
        "allow_direct": False,
        "deny_delete": True,
    }
    ledger = common | {
        "name": LEDGER,
        "subjects": [f"{claims}.>"],
        "subject_transform": {"src": f"{claims}.>", "dest": "ledger.>"},
        "max_bytes": limits.ledger_bytes,
        "max_age": limits.ledger_age_s * 1_000_000_000,
        # Claims carry no message id; a window beyond the age would be refused.
        "duplicate_window": min(DUPLICATE_WINDOW_NS, limits.ledger_age_s * 1_000_000_000),
        "deny_purge": True,
    }
    tape = common | {
        "name": TAPE,
        "subjects": list(tape_subjects()),
        "sources": [{"name": LEDGER}],
        "max_age": 0,
        "max_msgs": limits.tape_messages,
        "max_bytes": limits.tape_bytes,
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "deny_purge": False,
    }
    return ledger, tape


async def ensure_streams(
    url: str,
    admin_password: str,
    claims: str,
    limits: StreamLimits = StreamLimits(),  # noqa: B008  (immutable)
    leases: Sequence[str] = (),
) -> bool:
    """Create the streams if they are missing, and give the ledger its limits and the prefix of claims.

    Where the broker is a cluster they have replicas, and there is one more, for ``leases`` (a subject a service).
    Whether it is one.

    The only step that uses the admin's credentials. Streams are never made anew: what a stream denies, it denies
    for ever, and its limits can be changed.

    Raises:
        BrokerUnavailable: no broker, or it is not ready yet.
        TapeError: the broker refuses a stream's configuration.
    """
    client = TapeClient()

    async def quiet(_: Exception) -> None:
        """Failed attempts are retried by the caller; nothing to report for each."""

    try:
        await client.connect(
            servers_of(url),
            user=ADMIN,
            password=admin_password,
            allow_reconnect=False,
            connect_timeout=1,
            reconnect_time_wait=0.05,  # type: ignore[arg-type] # any number works
            max_reconnect_attempts=1,
            error_cb=quiet,
        )
    except Exception as e:
        # Whoever listens there may have taken the connection and said nothing.
        await client.close()
        raise BrokerUnavailable(f"expected a broker at {url}, was {type(e).__name__}") from e
    try:
        configs: Sequence[dict[str, Any]] = _stream_configs(claims, limits)
        is_cluster = bool(client.server_info.get("cluster"))
        if is_cluster:
            configs = clustered(configs, claims, leases)
        for config in configs:
            await _ensure_stream(client, config)
    finally:
        await client.close()
    return is_cluster


async def _ensure_stream(client: Client, config: dict[str, Any]) -> None:
    name = config["name"]
    answer = await ask(client, f"STREAM.INFO.{name}")
    if "error" not in answer:
        held = answer["config"]
        changed = _changed_tape(config, held) if name == TAPE else _changed(config, held, UPDATED)
        if not changed:
            return
        updated = {key: value for key, value in (held | changed).items() if value is not None}
        answer = await ask(client, f"STREAM.UPDATE.{name}", updated)
    elif answer["error"].get("err_code") != STREAM_NOT_FOUND:
        raise BrokerUnavailable(f"expected stream {name}, was {answer['error']}")
    else:
        answer = await ask(client, f"STREAM.CREATE.{name}", config)
    if "error" in answer:
        text = f"expected stream {name} to be made as wanted, was {answer['error']}"
        if answer["error"].get("err_code") in TOO_FEW_NODES:
            raise BrokerUnavailable(text)
        raise TapeError(text)


def _changed(config: dict[str, Any], held: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: config[key] for key in keys if key in config and config[key] != held.get(key)}


def _changed_tape(config: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """A tape's limits are its owner's; what a newer build may say must be stored there too."""
    changed = _changed(config, held, TAPE_UPDATED)
    if set(config["subjects"]) - set(held["subjects"]):
        changed["subjects"] = config["subjects"]
    if held.get("sources") and "sources" not in config:
        # It became a cluster's: from now on claims come by copies, and not twice.
        changed["sources"] = None
    return changed


async def ask(client: Client, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What JetStream answers, errors included.

    Raises:
        BrokerUnavailable: nothing.
    """
    payload = b"" if body is None else json.dumps(body).encode()
    try:
        reply = await client.request(f"$JS.API.{verb}", payload, timeout=5)
        answer: dict[str, Any] = json.loads(reply.data)
    except Exception as e:
        raise BrokerUnavailable(f"expected JetStream to answer {verb}, was {type(e).__name__}") from e
    return answer


async def stream_limits(client: Client, stream: str = TAPE) -> tuple[int, int]:
    """How many messages and how many bytes a stream holds at most.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    answer = await ask(client, f"STREAM.INFO.{stream}")
    if "error" in answer:
        raise BrokerUnavailable(f"expected the limits of {stream}, was {answer['error']}")
    limits = [int(answer["config"][name]) for name in ("max_msgs", "max_bytes")]
    # A stream of somebody else's server may have none.
    messages, size = (limit if limit > 0 else 1 << 62 for limit in limits)
    return messages, size


async def stream_state(
    client: Client, stream: str = TAPE, timeout_s: float = STREAM_STATE_TIMEOUT_S
) -> dict[str, Any]:
    """``messages``, ``bytes``, ``first_seq``, ``last_seq`` of a stream.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    try:
        reply = await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=timeout_s)
        state: dict[str, Any] = json.loads(reply.data)["state"]
    except Exception as e:
        raise BrokerUnavailable(f"expected the state of {stream}, was {type(e).__name__}") from e
    return state
