"""Configuration section ``notify``: who is told what, and how often. No machine reads it; secrets are files."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from libs.config.section import Section, setting, text, whole
from proto.monitor import Severity

CHANNELS_MAX = 16
CHATS_MAX = 32
Chat = Annotated[int, whole(-(2**53), 2**53)]
Event = Literal["alert", "condition", "halt", "fill", "stop", "proposal", "daily"]
EVENTS: tuple[Event, ...] = ("alert", "condition", "halt", "stop", "proposal", "daily")
_HOUR = "(([01][0-9]|2[0-3]):[0-5][0-9])"


class ChannelParams(Section):
    """One channel: where messages go, and which."""

    name: Annotated[str, text(r"^[a-z0-9_-]{1,40}$", "a name of small letters, digits, '_' and '-'")] = (
        setting(..., "what it is called; each name once")
    )
    kind: Literal["telegram", "apprise"] = setting(..., "how it is reached")
    file: Annotated[
        str, text(r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}$", "the name of a file, without a folder")
    ] = setting(..., "the file with the bot's token, or with apprise's address")
    chat: Chat = setting(0, "Telegram: the chat that is written to")
    events: Annotated[tuple[Event, ...], Field(max_length=len(EVENTS) + 1)] = setting(EVENTS, "what is told")
    severity_min: Severity = setting(
        Severity.WARNING, "of alerts and conditions, those from this severity on"
    )
    quiet: Annotated[str, text(rf"^({_HOUR}-{_HOUR})?$", "hours as 22:00-07:00, or nothing")] = setting(
        "", "hours in which only what is critical is told; the rest waits for their end"
    )
    per_minute_max: Annotated[int, whole(1, 60)] = setting(
        15, "messages a minute; what is more waits and is joined"
    )

    commands_from: Annotated[tuple[Chat, ...], Field(max_length=CHATS_MAX)] = setting(
        (), "Telegram: chats that may ask (/status, /positions, /orders, /profit, /why ID) and /halt"
    )

    @model_validator(mode="after")
    def _has_a_chat(self) -> "ChannelParams":
        if self.kind == "telegram" and not self.chat:
            raise ValueError("expected the chat that is written to, was none")
        if self.kind != "telegram" and self.commands_from:
            raise ValueError("expected commands_from of a channel of Telegram, was of another")
        return self


class NotifyParams(Section):
    """Who is told what. ``config/notify.yaml`` says why."""

    channels: Annotated[tuple[ChannelParams, ...], Field(max_length=CHANNELS_MAX)] = setting(
        (), "where messages go; without any nothing is told"
    )
    fold_s: Annotated[int, whole(10, 86_400)] = setting(
        600, "the first of a kind is told at once, more of it within that long together"
    )
    age_max_s: Annotated[int, whole(60, 7 * 86_400)] = setting(
        3_600, "what could not be told for that long is not told any more, and counted"
    )
    daily_at: Annotated[str, text(rf"^{_HOUR}$", "a time as 08:00")] = setting(
        "08:00", "when the day's summary says that the system lives"
    )
    telegram_url: Annotated[str, text(r"^https?://[^\s@]+[^\s@/]$", "an address http(s)://…", 200)] = setting(
        "https://api.telegram.org", "where Telegram's bots are served"
    )

    @model_validator(mode="after")
    def _each_name_once(self) -> "NotifyParams":
        names = [channel.name for channel in self.channels]
        if len(set(names)) != len(names):
            raise ValueError("expected each channel's name once, was one twice")
        return self
