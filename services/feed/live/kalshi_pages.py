"""Kalshi's pages of markets as far as the feed looks at them: which are wanted, and what a poll did not find."""

import msgspec

from libs.venues.frame import DECODE_ERRORS
from libs.venues.kalshi.params import KalshiParams
from libs.venues.kalshi.schemas import wire
from proto.units import SECOND, UnitError, parse


class _Page(msgspec.Struct, gc=False):
    markets: list[msgspec.Raw] = []
    cursor: str | None = None


class _End(msgspec.Struct, gc=False):
    cursor: str | None = None


class _Row(msgspec.Struct, gc=False):
    """What the filters look at."""

    volume_fp: str | None = None
    close_time: wire.Moment | None = None
    expected_expiration_time: wire.Moment | None = None


_page = msgspec.json.Decoder(_Page)
_end = msgspec.json.Decoder(_End)
_row = msgspec.json.Decoder(_Row)


class SeriesPoll:
    """One poll of a series: picks the markets that are wanted, and says afterwards what is missing."""

    def __init__(self, series: str, params: KalshiParams, now_ns: int) -> None:
        self._series = series
        self._params = params
        self.horizon_s = now_ns // SECOND + params.time_to_close_max_hours * 3600
        self._seen = 0
        self._ending_soon = 0
        self._wanted = 0
        self._is_cut = False
        self._is_later_cut = False

    def cut(self, *, is_later: bool) -> None:
        """Note that a list goes on beyond the pages that are read."""
        if is_later:
            self._is_later_cut = True
        else:
            self._is_cut = True

    def wanted(self, body: bytes, *, is_later: bool = False) -> bytes:
        """Return the page with the markets that are expected to end soon and were traded enough.

        A page that cannot be read is returned as it is: the normaliser says what is wrong with it. One of markets
        that close later (``is_later``) is "" without any.
        """
        try:
            page = _page.decode(body)
        except DECODE_ERRORS:
            return body
        kept = [row for row in page.markets if self._is_wanted(row)]
        if is_later and not kept:
            return b""
        if len(kept) == len(page.markets):
            return body
        return msgspec.json.encode({"markets": kept, "cursor": page.cursor or ""})

    def note(self) -> str:
        """Say what is missing; empty when something was found and all of it read."""
        hours, pages = self._params.time_to_close_max_hours, self._params.discovery_pages_max_count
        if self._is_cut or (self._is_later_cut and not self._wanted):
            return f"{self._series}: more markets than {pages} pages hold, {self._wanted} found in them"
        if self._wanted:
            return ""
        if self._ending_soon:
            return f"{self._series}: none of {self._ending_soon} markets that end within {hours} h was traded enough"
        if self._seen:
            return f"{self._series}: none of {self._seen} markets is expected to end within {hours} h"
        return f"{self._series}: the venue lists no open market"

    def _is_wanted(self, raw: msgspec.Raw) -> bool:
        """Whether a row is wanted: an odd one is, so that the normaliser names it."""
        self._seen += 1
        try:
            row = _row.decode(raw)
            volume = parse(row.volume_fp or "0")
        except (*DECODE_ERRORS, UnitError):
            return True
        ends = [moment.timestamp() for moment in (row.close_time, row.expected_expiration_time) if moment]
        if ends and min(ends) > self.horizon_s:
            return False
        self._ending_soon += 1
        is_traded = volume >= self._params.volume_min
        self._wanted += is_traded
        return is_traded


def cursor_of(body: bytes) -> str:
    """Return where the next page begins; "" after the last, and where that cannot be read."""
    try:
        return _end.decode(body).cursor or ""
    except DECODE_ERRORS:
        return ""
