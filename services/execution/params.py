"""Typed parameters of execution: configuration section ``execution``."""

from typing import Annotated

from libs.config.section import Section, setting, text, whole

Seconds = Annotated[int, whole(1, 3600)]
VenueName = Annotated[str, text(r"^[a-z0-9_]{1,40}$", "a venue's name in small letters")]


class ExecutionParams(Section):
    """How long execution waits, and which orders are real. Times count tape time."""

    ack_timeout_s: Seconds = setting(
        5, "a sent order (or cancel) without an answer for so long is asked about"
    )
    query_interval_s: Seconds = setting(10, "and asked about again after so long, until there is proof")
    live_venues: tuple[VenueName, ...] = setting(
        (),
        "real orders go to these venues. While there are any, nothing is traded at the others, and the paper venue"
        " takes no order and opens no account",
    )
