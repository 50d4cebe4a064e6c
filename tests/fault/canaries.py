"""Secrets of a system at the sandbox, and a search for them in everything that it writes or says."""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import httpx

from libs.tape.record import TapeRecord

HOMES = ("sandbox", "keys", "broker/credentials", "broker/nats.conf")
"""Where secrets may be, below the state directory: readable by their owner alone."""
SECRET_FIELDS = ("private_key", "secret", "passphrase")
LENGTH_MIN = 16
"""Of a canary: a shorter text would be found by chance."""
Canaries = Mapping[str, bytes]


def planted(state: Path) -> dict[str, bytes]:
    """Name → every form in which a secret of this run would be recognised."""
    polymarket = json.loads((state / "sandbox" / "polymarket.json").read_text())
    kalshi = json.loads((state / "sandbox" / "kalshi.json").read_text())
    found: dict[str, bytes] = {}
    for number, row in enumerate([polymarket, *polymarket["others"]]):
        for field in SECRET_FIELDS:
            found[f"polymarket.{number}.{field}"] = row[field].removeprefix("0x").encode()
        key = bytes.fromhex(row["private_key"].removeprefix("0x"))
        found[f"polymarket.{number}.key bytes"] = key
        found[f"polymarket.{number}.key base64"] = base64.b64encode(key).rstrip(b"=")
        found[f"polymarket.{number}.key number"] = str(int.from_bytes(key)).encode()
    lines = [line for line in kalshi["private_key_pem"].splitlines() if line and not line.startswith("-")]
    found |= {f"kalshi.pem line {n}": line.encode() for n, line in enumerate(lines) if len(line) >= 40}
    for path in sorted((state / "broker" / "credentials").iterdir()):
        found[f"broker.{path.name}"] = path.read_text().strip().encode()
    assert len(found) > 20
    assert all(len(secret) >= LENGTH_MIN for secret in found.values())
    return found


def shown_in(content: bytes, canaries: Canaries) -> list[str]:
    """Names of the secrets that a content shows."""
    return [name for name, secret in canaries.items() if secret in content]


def sweep_files(state: Path, canaries: Canaries) -> dict[str, list[str]]:
    """File below the state directory → secrets in it; their homes are left out."""
    homes = [state / home for home in HOMES]
    leaks: dict[str, list[str]] = {}
    for path in sorted(state.rglob("*")):
        if path.is_symlink() or not path.is_file() or any(path.is_relative_to(home) for home in homes):
            continue
        if shown := shown_in(path.read_bytes(), canaries):
            leaks[str(path.relative_to(state))] = shown
    return leaks


def sweep_tape(records: Iterable[TapeRecord], canaries: Canaries) -> dict[str, list[str]]:
    """Message → secrets in its subject, headers or payload."""
    leaks: dict[str, list[str]] = {}
    for record in records:
        content = b"\n".join([record.subject.encode(), repr(record.headers).encode(), record.payload])
        if shown := shown_in(content, canaries):
            leaks[f"{record.seq} {record.subject}"] = shown
    return leaks


async def sweep_metrics(state: Path, canaries: Canaries) -> dict[str, list[str]]:
    """Service → secrets in what it serves for metrics."""
    ports = json.loads((state / "run.json").read_text())["metrics_ports"]
    leaks: dict[str, list[str]] = {}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for service, port in ports.items():
            answer = await client.get(f"http://127.0.0.1:{port}/metrics")
            assert answer.status_code == 200, service
            if shown := shown_in(answer.content, canaries):
                leaks[service] = shown
    return leaks
