"""How the sandbox's models behave: how much they know, and what goes wrong with their answers."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from libs.bounded import clip

DELAY_S_MAX = 3_600.0


class Mode(StrEnum):
    """What a request is answered with."""

    OK = "ok"
    LIE = "lie"
    """The opposite of what it knows, said with confidence."""
    NONSENSE = "nonsense"
    """A number of the schema that is no percentage."""
    ABSTAIN = "abstain"
    REFUSE = "refuse"
    CUT = "cut"
    """The answer ends at the limit of its tokens, in the middle."""
    SCHEMA = "schema"
    """JSON of another shape."""
    PROSE = "prose"
    """No JSON at all."""
    HUGE = "huge"
    """An answer of several megabytes."""
    INJECT = "inject"
    """Instructions instead of reasons, and addresses that are none."""
    PEEK = "peek"
    """It has looked at a prediction market, and says so in its sources."""
    HTML = "html"
    """A page with status 200, as a proxy sends it."""
    ERROR_BODY = "error_body"
    """Status 200 with an error in the body, as some local servers do."""
    RATE = "rate"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    UNAUTHORISED = "unauthorised"
    NO_CREDIT = "no_credit"
    LOADING = "loading"
    """A local server that has not loaded its model: 503."""
    CLOSE = "close"
    """The connection is cut after the answer was computed."""
    DRIP = "drip"
    """The body comes byte by byte: no read ever times out."""
    CLOSE_BEFORE = "close_before"
    """The connection is cut without an answer."""


@dataclass
class Behaviour:
    """Settings of the models. ``skill``: 1 knows the world's truth, 0 nothing of it.

    ``bias`` moves what is said, in log-odds. ``delay_s`` before an answer. ``first_count``: ``mode`` holds for so many
    requests and then ``ok``; 0: for all. ``retry_after_s``: what refusals of rate and load ask for.
    """

    mode: Mode = Mode.OK
    skill: float = 0.7
    bias: float = 0.0
    delay_s: float = 0.0
    first_count: int = 0
    retry_after_s: float | None = None
    search_count: int = 0

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Change some settings.

        Raises:
            ValueError: for a setting that does not exist, or a value that it cannot have.
        """
        known = {setting.name for setting in fields(self)}
        for name, value in wanted.items():
            if name not in known:
                raise ValueError(f"expected one of {', '.join(sorted(known))}, was {clip(name, 40)!r}")
            if name == "mode":
                self.mode = Mode(value)
            elif name in ("first_count", "search_count"):
                setattr(self, name, int(value))
            else:
                setattr(self, name, None if value is None else float(value))
        self.skill = min(max(self.skill, 0.0), 1.0)
        self.delay_s = min(max(self.delay_s, 0.0), DELAY_S_MAX)

    def next_mode(self) -> Mode:
        """The mode of the next request."""
        mode = self.mode
        if self.first_count:
            self.first_count -= 1
            if not self.first_count:
                self.mode = Mode.OK
        return mode
