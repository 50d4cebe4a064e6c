"""What must be there before servers and services that run elsewhere can start: keys, passwords, the broker's users."""

import secrets
from pathlib import Path

from libs.runtime.layout import OWNER_ONLY
from libs.tape.broker import broker_config, write_config
from libs.tape.cluster import cluster_block
from tools.exit_codes import UsageError
from tools.system.installation import Installation
from tools.system.shares import BROKER, DATABASE, SHARED

BROKER_LISTEN = "0.0.0.0:4222"
BROKER_MONITOR = "127.0.0.1:8222"
"""For the health check inside its container, and nobody else."""
BROKER_DATA = Path("/state/jetstream")
"""Where its container has its volume."""
PASSWORD_BYTES = 32
NODES = (BROKER, f"{BROKER}-2", f"{BROKER}-3")
"""Folders and host names of a cluster's nodes."""
ROUTE_PORT = 6222
CLUSTER_CONFIG = "cluster.conf"


def bootstrap(root: Path, database_host: str) -> dict[str, str]:
    """Make what is missing; what is there stays. What was made or found, by name.

    ``STATE/secrets`` holds the address of the database; the folders below ``PRESAGE_SERVICES_DIR`` what the broker,
    the database and each service may know.

    Raises:
        UsageError: nothing says where the services' directories are.
    """
    is_new = not (root / "keys" / "operator.key").exists()
    installation = Installation(root)
    shares = installation.shares
    if shares is None:
        raise UsageError(
            "expected PRESAGE_SERVICES_DIR to name the folder of the services' directories, was none"
        )
    passwords = installation.broker.passwords
    broker = shares.root / BROKER
    broker.mkdir(parents=True, exist_ok=True)
    write_config(broker, broker_config(BROKER_LISTEN, BROKER_DATA, passwords, [f"http: {BROKER_MONITOR}"]))
    _nodes(root, shares.root, passwords)
    _database_password(installation.layout.root, shares.root / DATABASE, database_host)
    for service in SHARED:
        shares.give_credentials(service, installation.layout)
    return {
        "keys": "made" if is_new else "there already",
        "broker": f"{len(passwords)} users",
        "services": ", ".join(SHARED),
    }


def _nodes(root: Path, services: Path, passwords: dict[str, str]) -> None:
    """``cluster.conf`` of each node, where the folders of three are mounted; the first is the one broker's."""
    if not all((services / node).exists() for node in NODES):
        return
    own = root / "secrets"
    own.mkdir(exist_ok=True, mode=OWNER_ONLY)
    route = own / "route"
    if not route.exists():
        route.touch(mode=0o600)
        route.write_text(secrets.token_hex(PASSWORD_BYTES))
    for node in NODES:
        routes = [f"{other}:{ROUTE_PORT}" for other in NODES if other != node]
        block = cluster_block("presage", f"0.0.0.0:{ROUTE_PORT}", routes, route.read_text())
        extra = [f"http: {BROKER_MONITOR}", *block]
        text = broker_config(BROKER_LISTEN, BROKER_DATA, passwords, extra, name=node)
        write_config(services / node, text, CLUSTER_CONFIG)


def _database_password(root: Path, folder: Path, host: str) -> None:
    """A password made once: a file for the database's container, an address for whoever stores there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "password"
    if not path.exists():
        path.write_text(secrets.token_urlsafe(PASSWORD_BYTES))
        # Its container's user is not ours and may have no right to read others' files; no other container mounts it.
        path.chmod(0o444)
    own = root / "secrets"
    own.mkdir(exist_ok=True, mode=OWNER_ONLY)
    url = own / "presage_database_url"
    url.touch(mode=0o600)
    url.write_text(f"postgresql://presage:{path.read_text()}@{host}/presage")
