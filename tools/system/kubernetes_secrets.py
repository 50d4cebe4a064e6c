"""Secrets for a cluster of Kubernetes: a folder for each workload, with what it may know and nothing else.

The folder is a component of kustomize: an overlay names it, and each file in it becomes a part of a Secret that is mounted as
files. The brokers there are three, so their configuration has a part about one another.
"""

import json
import os
import secrets
from pathlib import Path

from libs.keys.signing import retired_file
from libs.runtime.layout import OWNER_ONLY, StateLayout
from libs.tape.broker import broker_config
from libs.tape.credentials import USERS
from proto.subjects import CONSOLE
from tools.system.installation import Installation
from tools.system.shares import SHARED

BROKERS = tuple(f"broker-{number}" for number in range(3))
"""Pods of the StatefulSet ``broker``; each is found as ``<pod>.broker``."""
BROKER_DATA = Path("/data/jetstream")
ROUTE_USER = "route"
PASSWORD_BYTES = 32
COMPONENT = "kustomization.yaml"
DATABASE_URL = "presage_database_url"
SUPERVISOR = "supervisor"


def write_secrets(root: Path, folder: Path, database_host: str) -> list[str]:
    """Make what is missing of an installation's keys and passwords, and write every workload's part; the workloads.

    Keys and passwords stay in the state directory ``root``: the next time the same ones are written.
    """
    installation = Installation(root)
    layout = installation.layout
    passwords = installation.broker.passwords
    database = _kept(layout, "database_password")
    url = f"postgresql://presage:{database}@{database_host}/presage"
    public = {"public.json": layout.public_keys.read_text()}
    if retired_file(layout.public_keys).exists():
        public["retired.json"] = retired_file(layout.public_keys).read_text()
    parts: dict[str, dict[str, str]] = {
        "broker": {"nats.conf": _broker(passwords, _kept(layout, "route_password"))},
        "database": {"password": database},
        # It opens the session and hands each service its part: it alone has the operator's key, and everybody's password.
        SUPERVISOR: {user: passwords[user] for user in USERS}
        | public
        | {DATABASE_URL: url}
        | _private_keys(layout),
    }
    for service in SHARED:
        parts[service] = {service: passwords[service]} | public
    parts[CONSOLE]["console.key"] = layout.console_key.read_text()
    parts["risk"]["risk.key"] = layout.risk_key.read_text()
    parts["monitor"]["monitor.key"] = layout.monitor_key.read_text()
    parts["journal"][DATABASE_URL] = url
    folder.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY)
    for name, files in parts.items():
        for file, content in files.items():
            _write(folder / name / file, content)
    _write(folder / COMPONENT, _component(parts))
    return list(parts)


def _private_keys(layout: StateLayout) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(layout.keys.glob("*.key"))}


def _broker(passwords: dict[str, str], route_password: str) -> str:
    """For each of the three: its name comes from its pod, the others are found by theirs."""
    login = f"user: {ROUTE_USER}, password: {json.dumps(route_password)}"
    routes = [f"nats://{ROUTE_USER}:{route_password}@{name}.broker:6222" for name in BROKERS]
    extra = [
        "http: 0.0.0.0:8222",
        "pid_file: /data/nats.pid",
        'lame_duck_duration: "30s"',
        "cluster {",
        "  name: presage",
        "  listen: 0.0.0.0:6222",
        # Clients name all three; what a pod would advertise is an address that dies with it.
        "  no_advertise: true",
        f"  authorization {{ {login} }}",
        f"  routes: {json.dumps(routes)}",
        "}",
    ]
    text = broker_config("0.0.0.0:4222", BROKER_DATA, passwords, extra)
    return text.replace("server_name: presage\n", "server_name: $POD_NAME\n")


def _kept(layout: StateLayout, name: str) -> str:
    """A password made once."""
    path = layout.root / "secrets" / name
    if not path.exists():
        _write(path, secrets.token_urlsafe(PASSWORD_BYTES))
    return path.read_text()


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)


def _component(parts: dict[str, dict[str, str]]) -> str:
    lines = [
        "# Made by `presage bootstrap --kubernetes`; holds secrets: not for version control.",
        "apiVersion: kustomize.config.k8s.io/v1alpha1",
        "kind: Component",
        "secretGenerator:",
    ]
    for name, files in parts.items():
        lines += [f"  - name: {name}-secrets", "    files:"]
        lines += [f"      - {name}/{file}" for file in sorted(files)]
    return "\n".join(lines) + "\n"
