"""What a Telegram chat may ask, and the one thing that it may command: a halt.

Only chats of the channel's list are heard; nobody else gets an answer. A halt is done at once, whatever else is being
answered; questions wait for one another, and what is too many is left unanswered.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic, time
from typing import Any, NamedTuple

from libs.bounded import clip
from libs.tasks import run_until_first
from services.monitor.notify.channel import BACK_OFF_S, TEXT_CHARACTERS_MAX
from services.monitor.notify.senders import SecretMissing
from services.monitor.notify.telegram import Telegram, TelegramError

POLL_S = 50
"""How long Telegram holds a question for news open; it allows as much."""
ANSWER_S = POLL_S + 15.0
LISTEN_WAIT_S_MAX = 15.0
"""Between two tries to listen: a halt must not wait until a line that is back is looked at again."""
ASKED_WAIT_S_MAX = 60.0
"""The same where Telegram itself asked for a wait."""
QUESTIONS_WAITING_MAX = 10
QUESTIONS_PER_MINUTE_MAX = 20
"""Of all chats of a bot together: more is no person."""
STALE_S = 300
"""A question that waited so long, for a process that was away, is nobody's any more. A halt always counts."""
ID_CHARACTERS_MAX = 120
REASON_CHARACTERS_MAX = 200
HALT = "halt"
MINUTE_S = 60.0

log = logging.getLogger("presage.notify")

Answer = Callable[[str], Awaitable[str]]
"""Answers a question; what was written behind the command is given."""


class Said(NamedTuple):
    """A message of a chat that is heard."""

    chat: int
    user: int
    command: str
    rest: str
    at_s: int


def said_in(update: Mapping[str, Any], chats: frozenset[int]) -> Said | None:
    """What an update says; ``None`` where nobody who is heard says anything."""
    message = update.get("message")
    if not isinstance(message, dict) or not isinstance(message.get("text"), str):
        return None
    chat, user = _id_of(message.get("chat")), _id_of(message.get("from"))
    if chat not in chats:
        return None
    word, _, rest = message["text"].strip().partition(" ")
    # In a group a command may name its bot: /halt@name.
    command = word.partition("@")[0].casefold()
    at = message.get("date")
    return Said(chat, user, command.removeprefix("/"), rest.strip(), at if type(at) is int else int(time()))


def _id_of(entry: Any) -> int:
    found = entry.get("id") if isinstance(entry, dict) else 0
    return found if type(found) is int else 0


class ChatDesk:
    """Listens to one bot, and answers. ``bot`` opens it; ``offset``: the first update that was not taken yet."""

    def __init__(
        self,
        bot: Callable[[], Telegram],
        chats: frozenset[int],
        answers: Mapping[str, Answer],
        halt: Answer,
        offset: int = 0,
    ) -> None:
        self.offset = offset
        self.on_taken: Callable[[int], None] = lambda _: None
        self.may_listen: Callable[[], bool] = lambda: True
        self.unanswered = 0
        self._bot = bot
        self._chats = chats
        self._answers = answers
        self._halt = halt
        self._questions: asyncio.Queue[Said] = asyncio.Queue(QUESTIONS_WAITING_MAX)
        self._asked_at_s: list[float] = []
        self._failures = 0

    async def run(self) -> None:
        """Listen and answer, until it is cancelled."""
        await run_until_first(self._listen(), self._answer_for_ever())

    async def _listen(self) -> None:
        while True:
            if not self.may_listen():
                await asyncio.sleep(1.0)
                continue
            try:
                async with self._bot() as bot:
                    while self.may_listen():
                        await self._poll(bot)
            except (TelegramError, SecretMissing, OSError) as e:
                await asyncio.sleep(self._wait_s(e))

    def _wait_s(self, error: Exception) -> float:
        self._failures += 1
        # The text names no address: it is made of status and description, or of an exception's kind.
        log.warning("chat not heard", extra={"detail": clip(str(error), REASON_CHARACTERS_MAX)})
        asked = error.retry_after_s if isinstance(error, TelegramError) else 0.0
        if asked:
            return min(asked, ASKED_WAIT_S_MAX)
        return min(BACK_OFF_S * float(2 ** min(self._failures - 1, 10)), LISTEN_WAIT_S_MAX)

    async def _poll(self, bot: Telegram) -> None:
        updates = await bot.call(
            "getUpdates", ANSWER_S, offset=self.offset, timeout=POLL_S, allowed_updates=["message"]
        )
        self._failures = 0
        found = [update for update in updates or () if isinstance(update, dict)]
        said = [one for one in (said_in(update, self._chats) for update in found) if one is not None]
        # A halt is taken before anything else, and before the update is marked as taken: a crash repeats it at most.
        for one in said:
            if one.command == HALT:
                await self._write(one.chat, await _answered(self._halt, _reason(one)))
        for one in said:
            if one.command != HALT:
                self._ask(one)
        numbers = [number for update in found if type(number := update.get("update_id")) is int]
        if numbers:
            self.offset = max(numbers) + 1
            self.on_taken(self.offset)

    def _ask(self, one: Said) -> None:
        now_s = monotonic()
        self._asked_at_s = [at for at in self._asked_at_s if now_s - at < MINUTE_S]
        is_late = time() - one.at_s > STALE_S
        if is_late or self._questions.full() or len(self._asked_at_s) >= QUESTIONS_PER_MINUTE_MAX:
            self.unanswered += 1
            return
        self._asked_at_s.append(now_s)
        self._questions.put_nowait(one)

    async def _answer_for_ever(self) -> None:
        while True:
            one = await self._questions.get()
            answer = self._answers.get(one.command)
            if answer is None:
                known = ", ".join(f"/{name}" for name in (*self._answers, HALT))
                text = f"expected one of {known}; nothing else can be said here"
            else:
                text = await _answered(answer, clip(one.rest, ID_CHARACTERS_MAX))
            await self._write(one.chat, text)

    async def _write(self, chat: int, text: str) -> None:
        """Answer once; who got no answer asks again."""
        try:
            async with self._bot() as bot:
                outcome = await bot.write(chat, clip(text or "nothing", TEXT_CHARACTERS_MAX))
        except (SecretMissing, OSError) as e:
            log.warning("chat not answered", extra={"detail": type(e).__name__})
            return
        if not outcome.delivered:
            log.warning("chat not answered", extra={"detail": outcome.reason})


async def _answered(answer: Answer, rest: str) -> str:
    """What was answered, or that it failed: one question ends no other's answer."""
    try:
        return await answer(rest)
    except Exception as e:
        log.exception("chat not answered")
        return f"failed: {type(e).__name__}; presage status says how things stand"


def _reason(one: Said) -> str:
    who = f"telegram: chat {one.chat}, user {one.user}"
    return clip(f"{who}: {one.rest}" if one.rest else who, REASON_CHARACTERS_MAX)
