"""Handing a message to a channel's service."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from libs.config.environment import Environment
from libs.runtime.layout import StateLayout
from services.monitor.notify.channel import Outcome
from services.monitor.notify.params import ChannelParams
from services.monitor.notify.telegram import Telegram

SECRET_BYTES_MAX = 16 << 10
SEND_S = 60.0
"""A message to all addresses of a channel; then its process is ended. Loading apprise alone takes seconds of a core."""
FOLDER = "notify"

Send = Callable[[str], Awaitable[Outcome]]
"""Hands one text over; what came of it."""


class SecretMissing(ValueError):
    """A channel's file is not there or has nothing in it; the text names it, and never what is in it."""


def secrets_folder(layout: StateLayout) -> Path:
    """Where the channels' files are: what the platform mounts, or the state directory's own."""
    mounted = Environment.read().keys_dir
    return mounted / FOLDER if mounted is not None else layout.root / "keys" / FOLDER


def read_secret(folder: Path, channel: ChannelParams) -> str:
    """The token or the addresses of a channel.

    Raises:
        SecretMissing: there are none.
    """
    path = folder / channel.file
    try:
        with path.open("rb") as file:
            text = file.read(SECRET_BYTES_MAX).decode().strip()
    except (OSError, UnicodeDecodeError) as e:
        raise SecretMissing(
            f"expected the secret of {channel.name} in {path}, was {type(e).__name__}"
        ) from None
    if not text:
        raise SecretMissing(f"expected the secret of {channel.name} in {path}, was empty")
    return text


def sender_of(channel: ChannelParams, folder: Path, telegram_url: str) -> Send:
    """What hands a channel's texts over. The file is read each time: a new token needs no restart."""

    async def by_telegram(text: str) -> Outcome:
        async with Telegram(telegram_url, read_secret(folder, channel)) as bot:
            return await bot.write(channel.chat, text)

    async def by_apprise(text: str) -> Outcome:
        return await send_by_apprise(read_secret(folder, channel), text)

    send = by_telegram if channel.kind == "telegram" else by_apprise

    async def send_in_time(text: str) -> Outcome:
        try:
            async with asyncio.timeout(SEND_S):
                return await send(text)
        except TimeoutError:
            return Outcome(False, f"no answer in {SEND_S:.0f} s")
        except SecretMissing as e:
            return Outcome(False, str(e))
        except OSError as e:
            return Outcome(False, f"not sent: {type(e).__name__}")

    return send_in_time


async def send_by_apprise(urls: str, text: str) -> Outcome:
    """Send by a process of its own, which is ended with this call: a service that hangs keeps nothing."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.monitor.notify.apprise_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("PRESAGE_")},
    )
    try:
        out, _ = await process.communicate(json.dumps({"url": urls, "text": text}).encode())
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        answer = json.loads(out)
        return Outcome(bool(answer["delivered"]), str(answer["reason"]))
    except (ValueError, KeyError, TypeError):
        return Outcome(False, f"apprise's process ended with {process.returncode}")
