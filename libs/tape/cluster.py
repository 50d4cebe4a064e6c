"""Several brokers as one: what a node's configuration adds, and what the streams are there.

Every stream has three replicas. The tape does not source the ledger: after the ledger's leader crashed, sourced claims were
seen on the tape 5 to 46 s after the crash. Execution copies each claim it wins onto the tape instead, under the condition
that no claim of the order is there (``services/execution/claim_copies.py``).
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from libs.tape.credentials import LEASE_PREFIX, copies_prefix
from proto.subjects import LEASE, TAPE

REPLICAS = 3
"""One node may be lost. Five replicas would bear two, and make each message slower."""
LEASE_BYTES_MAX = 1 << 20
"""The newest lease of each service; less than a kilobyte in all."""
LEDGER_COPIES = "ledger.>"
PORT = 4222
"""Of a broker whose address names none."""
INFO_TIMEOUT_S = 1.0
INFO_BYTES_MAX = 64 << 10
"""A node's first line; a few hundred bytes."""


def cluster_block(name: str, listen: str, routes: Sequence[str], password: str) -> list[str]:
    """Lines that make a broker a node: where others reach it, and where it reaches them (``host:port``)."""
    urls = [f"nats://route:{password}@{route}" for route in routes]
    return [
        "cluster {",
        f"  name: {json.dumps(name)}",
        f"  listen: {json.dumps(listen)}",
        # Clients are told all nodes by PRESAGE_NATS_URL: the addresses nodes see of each other may not be theirs.
        "  no_advertise: true",
        f"  authorization {{ user: route, password: {json.dumps(password)}, timeout: 5 }}",
        f"  routes: {json.dumps(urls)}",
        "}",
    ]


def clustered(configs: Sequence[dict[str, Any]], claims: str, leases: Sequence[str]) -> list[dict[str, Any]]:
    """The streams of a cluster, from those of one broker. ``leases``: where services put theirs."""
    found = [config | {"num_replicas": REPLICAS} for config in configs]
    for config in found:
        if config["name"] == TAPE:
            copies = f"{copies_prefix(claims)}.>"
            config["subjects"] = [*config["subjects"], copies]
            config["subject_transform"] = {"src": copies, "dest": LEDGER_COPIES}
            del config["sources"]
    if leases:
        found.append(_lease_config(leases))
    return found


def _lease_config(leases: Sequence[str]) -> dict[str, Any]:
    return {
        "name": LEASE,
        "subjects": list(leases),
        "subject_transform": {"src": f"{LEASE_PREFIX}.*.*", "dest": f"{LEASE_PREFIX}.{{{{wildcard(2)}}}}"},
        "retention": "limits",
        "storage": "file",
        "num_replicas": REPLICAS,
        "max_msgs_per_subject": 1,
        "max_bytes": LEASE_BYTES_MAX,
        "max_consumers": -1,
        "discard": "old",
        "allow_direct": False,
        "deny_delete": True,
        "deny_purge": True,
    }


async def node_ids(servers: Sequence[str]) -> list[str]:
    """The id of each node that answers: another one after each of its starts. Asks without credentials."""
    found = await asyncio.gather(*(_node_id(server) for server in servers))
    return sorted(node for node in found if node)


async def _node_id(server: str) -> str:
    """The id in a node's first line; empty when it does not answer."""
    host, _, port = server.rpartition("//")[2].rpartition("@")[2].partition(":")
    try:
        async with asyncio.timeout(INFO_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, int(port or PORT), limit=INFO_BYTES_MAX)
            try:
                line = await reader.readline()
            finally:
                writer.close()
        verb, _, body = line.partition(b" ")
        return str(json.loads(body)["server_id"]) if verb == b"INFO" else ""
    except (OSError, ValueError, KeyError, TimeoutError):
        return ""


def went_down(before: Sequence[str], now: Sequence[str]) -> bool:
    """Whether so many nodes ended since that the last second of the tape may be lost with them.

    A message is acknowledged once a majority has it, in memory: one node of that majority must have lived on.
    """
    majority = len(before) // 2 + 1
    return len(set(before) & set(now)) < majority if before else False
