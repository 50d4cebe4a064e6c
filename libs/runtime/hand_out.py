"""A service's part of a run over HTTP, where no folder is shared between the supervisor's machine and the service's.

The supervisor serves it at ``/run/<service>``, signed with the operator's key; the service fetches it before it starts,
verifies it with the public keys that its platform mounts, and looks again while it runs. There is no password and no key in
it: those the platform mounts. Who does not hold the operator's key cannot send a service to another broker or venue.
"""

import asyncio
import contextlib
import logging
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Any

import msgspec

from libs.bounded import clip
from libs.config.environment import Environment
from libs.files import write_atomically
from libs.keys.signing import OPERATOR_DOMAIN, Signer, Verifier
from libs.keys.verbs import OPEN
from libs.runtime.layout import OWNER_ONLY, StateLayout
from libs.tasks import cancel_all

PATH = "/run/"
BYTES_MAX = 1 << 20
"""Of an answer: a run is some kilobytes."""
TIMEOUT_S = 2.0
NAME_CHARACTERS_MAX = 80
RETRY_S = 1.0
LOOK_EVERY_S = 5.0
"""A changed run stops the service by plan; seconds do not matter there."""
SAID_EVERY = 30
"""Attempts between two lines of the log while nobody answers."""
NAMES = ("run.json", "tape.json", "money", "sandbox-keys/")
"""What may be handed out: names of files, and of folders with a slash."""

log = logging.getLogger("presage.run")


class HandOutRefused(ValueError):
    """What was fetched is not what a supervisor hands out; the text says why."""


class _Sealed(msgspec.Struct, frozen=True):
    tape: str
    key_id: str
    signature: str
    payload: bytes


def _subject(service: str) -> str:
    return f"run.{service}"


def seal(signer: Signer, tape: str, service: str, files: Mapping[str, bytes]) -> bytes:
    """The signed files of a service's part; ``tape`` is the tape's id."""
    payload = msgspec.msgpack.encode(dict(sorted(files.items())))
    signature = signer.sign(tape, _subject(service), "", payload)
    return msgspec.msgpack.encode(_Sealed(tape, signer.key_id, signature, payload))


def unseal(verifier: Verifier, service: str, content: bytes) -> dict[str, bytes]:
    """The files of such a part, verified.

    Raises:
        HandOutRefused: it is cut, of another service, not signed by an operator's key that counts, or names other files.
    """
    try:
        sealed = msgspec.msgpack.decode(content, type=_Sealed)
        subject = _subject(service)
        # Of the keys that speak in the operator's domain only one that may open a session sends a service anywhere.
        if not verifier.may_say(sealed.key_id, OPEN) or not verifier.verify(
            OPERATOR_DOMAIN, sealed.tape, subject, "", sealed.payload, sealed.signature, sealed.key_id
        ):
            raise HandOutRefused(f"expected a run of {service} signed by the operator's key, was another")
        files = msgspec.msgpack.decode(sealed.payload, type=dict[str, bytes])
    except msgspec.DecodeError as e:
        raise HandOutRefused(f"expected a run of {service}, was cut or changed") from e
    for name in files:
        if not _may_be_handed_out(name):
            raise HandOutRefused(f"expected files of a run, was {clip(name, NAME_CHARACTERS_MAX)!r}")
    return files


def _may_be_handed_out(name: str) -> bool:
    parts = PurePosixPath(name).parts
    known = any(name == entry or (entry.endswith("/") and name.startswith(entry)) for entry in NAMES)
    return known and ".." not in parts and not name.startswith("/")


def files_of(layout: StateLayout) -> dict[str, bytes]:
    """What of a service's directory, as the supervisor sees it, is handed out."""
    found = {}
    for entry in NAMES:
        place = layout.root / entry
        for path in sorted(place.rglob("*")) if entry.endswith("/") else [place]:
            if path.is_file():
                found[str(path.relative_to(layout.root))] = path.read_bytes()
    if "run.json" in found:
        run: dict[str, Any] = msgspec.json.decode(found["run.json"])
        # The database's address has a password in it: the journal's platform mounts it. And whoever fetches this has
        # asked a supervisor that runs now, in whatever boot of whatever machine.
        found["run.json"] = msgspec.json.encode({**run, "database_url": "", "boot": ""})
    return found


def fetch(url: str, service: str, verifier: Verifier) -> dict[str, bytes]:
    """Fetch a service's part.

    Raises:
        OSError: nobody answers, or there is no run yet.
        HandOutRefused: the answer is none of a supervisor's.
    """
    if not url.startswith("http://"):
        raise HandOutRefused("expected PRESAGE_RUN_URL to begin with http://, was another")
    with urllib.request.urlopen(f"{url.rstrip('/')}/{service}", timeout=TIMEOUT_S) as answer:  # noqa: S310 - http alone
        content = answer.read(BYTES_MAX + 1)
    if len(content) > BYTES_MAX:
        raise HandOutRefused(f"expected a run of at most {BYTES_MAX} bytes, was more")
    return unseal(verifier, service, content)


def write(layout: StateLayout, files: Mapping[str, bytes]) -> None:
    """Put the files where the service finds them, the run last."""
    for name in sorted(files, key=lambda name: name == "run.json"):
        path = layout.root / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY)
        if not path.exists() or path.read_bytes() != files[name]:
            write_atomically(path, files[name])


def take(service: str, layout: StateLayout) -> None:
    """Wait for this run's part, where it comes over HTTP, and write it; else do nothing."""
    url = Environment.read().run_url
    attempts = 0
    while url:
        try:
            write(layout, fetch(url, service, Verifier.load(layout.public_keys)))
        except (OSError, HandOutRefused) as e:
            if attempts % SAID_EVERY == 0:
                log.warning("no run yet", extra={"detail": clip(str(e), 200)})
            attempts += 1
            time.sleep(RETRY_S)
        else:
            return


@asynccontextmanager
async def following(service: str, layout: StateLayout) -> AsyncIterator[None]:
    """Keep the files as the supervisor serves them while the block runs, where they come over HTTP."""
    url = Environment.read().run_url
    task = asyncio.create_task(_follow(url, service, layout)) if url else None
    try:
        yield
    finally:
        if task is not None:
            await cancel_all([task])


async def _follow(url: str, service: str, layout: StateLayout) -> None:
    verifier = Verifier.load(layout.public_keys)
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        # A supervisor that is away, or restarting, says nothing: the service goes on with what it has.
        with contextlib.suppress(OSError, HandOutRefused):
            write(layout, await asyncio.to_thread(fetch, url, service, verifier))
