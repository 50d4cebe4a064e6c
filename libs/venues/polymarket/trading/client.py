"""Polymarket's REST interfaces: CLOB, Gamma and Data API. Bodies in, structs out; orders are never repeated."""

import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from libs.bounded import clip
from libs.venues.errors import BadAnswer, OutcomeUnknown, Refused, Unavailable
from libs.venues.frame import DECODE_ERRORS
from libs.venues.odd_items import OddItems
from libs.venues.polymarket import POLYMARKET, limits
from libs.venues.polymarket.hosts import CHAIN_ID, CLOB_URL, DATA_URL, GAMMA_URL
from libs.venues.polymarket.schemas import answers as rest
from libs.venues.polymarket.schemas.answers import END, START
from libs.venues.polymarket.schemas.errors import is_pause, read_error
from libs.venues.polymarket.trading.auth import SigningAccount, WalletApiKey, l1_headers, l2_headers
from libs.venues.transport.answer import HttpAnswer, ReadError
from libs.venues.transport.http import Timeouts, VenueHttp

PAGES_MAX = 200
"""Most pages of one list; a longer one counts as endless."""
ROWS_MAX = 500
"""Rows asked for of the Data API; its most."""
OFFSET_MAX = 3_500
"""Beyond it the Data API answers 400: a longer list cannot be read whole."""
POSITIONS_MAX = OFFSET_MAX + ROWS_MAX
"""So many rows may not be all."""
ORDERS_MAX = 15
"""Orders in one batch."""
CANCELS_MAX = 1_000
"""Ids in one batch of cancels."""
TIMEOUTS = Timeouts()
"""As everywhere: three seconds for a connection, ten for an answer."""
UNAVAILABLE = frozenset({425, 503})
"""Engine restart; post-only, cancel-only and disabled trading."""

Body = TypeVar("Body")
Query = Mapping[str, str | int]
TOKEN_CACHE_S = 86_400.0
"""A token belongs to one market for ever."""


class PolymarketClient:
    """The interfaces of one account, or of none: without ``account`` only market data can be asked for."""

    def __init__(
        self,
        clob_url: str = CLOB_URL,
        gamma_url: str = GAMMA_URL,
        data_url: str = DATA_URL,
        *,
        account: SigningAccount | None = None,
        api_key: WalletApiKey | None = None,
        chain_id: int = CHAIN_ID,
        timeouts: Timeouts = TIMEOUTS,
    ) -> None:
        shared = limits.buckets()
        self._clob = VenueHttp(POLYMARKET, clob_url, shared, unavailable=UNAVAILABLE, timeouts=timeouts)
        self._gamma = VenueHttp(POLYMARKET, gamma_url, shared, timeouts=timeouts)
        self._data = VenueHttp(POLYMARKET, data_url, shared, timeouts=timeouts)
        self._account = account
        self._chain_id = chain_id
        self.api_key = api_key
        self.odd_items = OddItems(POLYMARKET)

    async def close(self) -> None:
        for http in (self._clob, self._gamma, self._data):
            await http.close()

    # ── market data ─────────────────────────────────────────────────────────────────────────────────

    async def gamma(self, path: str, query: Sequence[tuple[str, str | int]] = ()) -> bytes:
        """A page of ``/markets`` or ``/events`` as it came, for a ``_rest`` frame."""
        bucket = "gamma_events" if path.startswith("/events") else "gamma_markets"
        answer = await self._gamma.request(
            "GET", path, effect=False, query=query, bucket=bucket, read_error=read_error
        )
        return answer.body

    async def book(self, token: str) -> bytes:
        """``/book`` of a token as it came, for a ``clob_book`` frame."""
        query = {"token_id": token}
        return (await self._get("/book", query, bucket="book")).body

    async def short_market(self, condition: str) -> rest.ShortMarket:
        """What placing orders in a market takes."""
        return _read(await self._get(f"/clob-markets/{condition}"), rest.ShortMarket)

    async def market_of_token(self, token: str) -> str:
        """The condition id that a token belongs to."""
        answer = await self._get(f"/markets-by-token/{token}", cache_s=TOKEN_CACHE_S)
        return _read(answer, rest.MarketOfToken).condition_id

    async def result(self, condition: str) -> rest.MarketResult:
        """What is known of a market's result."""
        return _read(await self._get(f"/markets/{condition}"), rest.MarketResult)

    # ── keys ────────────────────────────────────────────────────────────────────────────────────────

    async def derive_api_key(self, nonce: int = 0) -> WalletApiKey:
        """The API key that the private key already has.

        Raises:
            Refused: when there is none yet.
        """
        return await self._l1("GET", "/auth/derive-api-key", nonce)

    async def create_api_key(self, nonce: int = 0) -> WalletApiKey:
        """A new API key.

        Raises:
            Refused: when there is one already (400).
        """
        return await self._l1("POST", "/auth/api-key", nonce)

    async def ensure_api_key(self) -> WalletApiKey:
        """The API key at hand, the one there is, or a new one; it is used from now on."""
        if self.api_key is None:
            try:
                self.api_key = await self.derive_api_key()
            except Refused as e:
                if e.status not in (400, 404):
                    raise
                self.api_key = await self.create_api_key()
        return self.api_key

    async def _l1(self, method: str, path: str, nonce: int) -> WalletApiKey:
        account = self._owner()
        answer = await self._clob.request(
            method,
            path,
            effect=method == "POST",
            bucket="auth",
            headers=lambda: l1_headers(account.key, int(time.time()), nonce, self._chain_id),
            read_error=read_error,
        )
        body = _read(answer, rest.ApiKeyBody)
        return WalletApiKey(api_key=body.apiKey, secret=body.secret, passphrase=body.passphrase)

    # ── the account ─────────────────────────────────────────────────────────────────────────────────

    async def order(self, order_id: str) -> rest.OrderRow | None:
        """One order; ``None`` when the venue says that there is none."""
        try:
            answer = await self._private("GET", f"/data/order/{order_id}", bucket="data", bare=True)
        except Refused as e:
            if e.status == 404:
                return None
            raise
        return None if answer.body.strip() == b"null" else _read(answer, rest.OrderRow)

    async def open_orders(self, left_out: list[str] | None = None) -> list[rest.OrderRow]:
        """Every working order; what cannot be read is named in ``left_out``."""
        rows: list[rest.OrderRow] = []
        cursor = START
        for _ in range(PAGES_MAX):
            answer = await self._private("GET", "/data/orders", {"next_cursor": cursor}, bucket="data")
            page = _read(answer, rest.OrdersPage)
            rows += self.odd_items.readable("order", page.data, rest.OrderRow, left_out)
            cursor = page.next_cursor
            if cursor in ("", END):
                return rows
        raise BadAnswer(POLYMARKET, f"expected at most {PAGES_MAX} pages of orders, was more")

    async def trades(self, after_s: int) -> list[rest.TradeRow]:
        """Every trade of the account since then."""
        rows: list[rest.TradeRow] = []
        cursor = START
        for _ in range(PAGES_MAX):
            query: dict[str, str | int] = {"next_cursor": cursor, "after": max(0, after_s)}
            page = _read(await self._private("GET", "/data/trades", query, bucket="data"), rest.TradesPage)
            rows += self.odd_items.readable("trade", page.data, rest.TradeRow)
            cursor = page.next_cursor
            if cursor in ("", END):
                return rows
        raise BadAnswer(POLYMARKET, f"expected at most {PAGES_MAX} pages of trades, was more")

    async def balance(self, asset_type: str = "COLLATERAL", token: str = "") -> rest.BalanceBody:
        """Money, or shares of a token, and what the exchanges may take of it."""
        query = self._asset(asset_type, token)
        return _read(
            await self._private("GET", "/balance-allowance", query, bucket="balance"), rest.BalanceBody
        )

    async def refresh_balance(self, asset_type: str, token: str = "") -> None:
        """Have the venue look at the chain again: its copy of a balance lags after a trade."""
        query = self._asset(asset_type, token)
        path = "/balance-allowance/update"
        await self._private("GET", path, query, bucket="balance_update", bare=True)

    def _asset(self, asset_type: str, token: str) -> dict[str, str | int]:
        query: dict[str, str | int] = {"asset_type": asset_type}
        if token:
            query["token_id"] = token
        return query | {"signature_type": int(self._owner().signature_type)}

    async def positions(self) -> list[rest.Position]:
        """Everything the wallet holds; of ``POSITIONS_MAX`` or more rows, all that is worth something.

        What lost stays in a wallet, so that a list grows for ever. One too long to be read whole is read again
        by value: when its end is worth nothing, so is what follows.
        """
        query: dict[str, str | int] = {"sizeThreshold": 0, "sortBy": "TOKENS", "sortDirection": "DESC"}
        rows, whole = await self._data_rows("/positions", query, "positions", rest.Position)
        if not whole:
            rows, whole = await self._data_rows(
                "/positions", query | {"sortBy": "CURRENT"}, "positions", rest.Position
            )
            if not whole and not _ends_in_nothing(rows):
                raise _too_long("/positions")
        return rows

    async def redemptions(self, since_s: int) -> list[rest.Activity]:
        """Every payout to the wallet since then."""
        query: dict[str, str | int] = {"type": "REDEEM", "start": max(0, since_s), "sortDirection": "DESC"}
        rows, whole = await self._data_rows("/activity", query, "activity", rest.Activity)
        if not whole:
            raise _too_long("/activity")
        return [row for row in rows if row.type == "REDEEM" and row.timestamp >= since_s]

    async def _data_rows(
        self, path: str, query: Query, bucket: str, kind: type[Body]
    ) -> tuple[list[Body], bool]:
        """As many rows as can be read, and whether they are all."""
        rows: list[Body] = []
        for offset in range(0, OFFSET_MAX + 1, ROWS_MAX):
            whole = {"user": self._owner().funder_text, "limit": ROWS_MAX, "offset": offset, **query}
            answer = await self._data.request(
                "GET", path, effect=False, query=whole, bucket=bucket, read_error=read_error
            )
            page = _read(answer, list[msgspec.Raw])
            rows += self.odd_items.readable(path.strip("/"), page, kind)
            if len(page) < ROWS_MAX:
                return rows, True
        return rows, False

    # ── effects: never sent twice by themselves ─────────────────────────────────────────────────────

    async def post_order(self, body: bytes) -> rest.OrderAnswer:
        """Place an order; ``body`` are the exact bytes."""
        return _effect(
            await self._private("POST", "/order", body=body, effect=True, bucket="order"), rest.OrderAnswer
        )

    async def post_orders(self, bodies: Sequence[bytes]) -> list[rest.OrderAnswer]:
        """Place up to 15; each succeeds or fails by itself, in their order."""
        if not 0 < len(bodies) <= ORDERS_MAX:
            raise ValueError(f"expected 1 to {ORDERS_MAX} orders, was {len(bodies)}")
        body = b"[" + b",".join(bodies) + b"]"
        answer = await self._private(
            "POST", "/orders", body=body, effect=True, bucket="order", cost=len(bodies)
        )
        answers = _effect(answer, list[rest.OrderAnswer])
        if len(answers) != len(bodies):
            raise OutcomeUnknown(POLYMARKET, f"expected {len(bodies)} answers, was {len(answers)}")
        return answers

    async def cancel(self, order_ids: Sequence[str]) -> rest.Cancelled:
        """Cancel one or up to 1,000 orders."""
        if not 0 < len(order_ids) <= CANCELS_MAX:
            raise ValueError(f"expected 1 to {CANCELS_MAX} ids, was {len(order_ids)}")
        one = len(order_ids) == 1
        body = msgspec.json.encode({"orderID": order_ids[0]} if one else list(order_ids))
        path = "/order" if one else "/orders"
        cost = min(len(order_ids), limits.SIGNER_PER_S["cancel"][1])
        return _effect(
            await self._private("DELETE", path, body=body, effect=True, bucket="cancel", cost=cost),
            rest.Cancelled,
        )

    async def cancel_market(self, condition: str, token: str = "") -> rest.Cancelled:
        """Cancel every order in a market, or of one of its outcomes."""
        wanted = {"market": condition} | ({"asset_id": token} if token else {})
        body = msgspec.json.encode(wanted)
        answer = await self._private(
            "DELETE",
            "/cancel-market-orders",
            body=body,
            effect=True,
            bucket="cancel",
            cost=limits.CANCEL_ALL_COST,
        )
        return _effect(answer, rest.Cancelled)

    async def cancel_all(self) -> rest.Cancelled:
        """Cancel every order of the account."""
        answer = await self._private(
            "DELETE", "/cancel-all", effect=True, bucket="cancel", cost=limits.CANCEL_ALL_COST
        )
        return _effect(answer, rest.Cancelled)

    async def heartbeat(self, heartbeat_id: str) -> str:
        """Echo the last id; the answer is the next one, also when the venue expected another (then ``Refused``).

        Raises:
            HeartbeatMismatch: with the id that the venue expects.
        """
        seen: list[str] = []

        def read(status: int, body: bytes) -> tuple[str, str]:
            code, text = read_error(status, body)
            if status == 400 and code == "heartbeat_id":
                seen.append(_heartbeat_id(body))
            return code, text

        body = msgspec.json.encode({"heartbeat_id": heartbeat_id})
        try:
            answer = await self._private("POST", "/v1/heartbeats", body=body, effect=True, read=read)
        except Refused:
            if seen:
                raise HeartbeatMismatch(seen[-1]) from None
            raise
        return _effect(answer, rest.Beat).heartbeat_id

    # ── requests ────────────────────────────────────────────────────────────────────────────────────

    async def _get(
        self, path: str, query: Query | None = None, *, bucket: str = "default", cache_s: float = 0.0
    ) -> HttpAnswer:
        return await self._clob.request(
            "GET", path, effect=False, query=query, bucket=bucket, read_error=read_error, cache_s=cache_s
        )

    async def _private(  # noqa: PLR0913 - each is one property of a request
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: bytes | None = None,
        effect: bool = False,
        bucket: str = "default",
        cost: float = 1.0,
        bare: bool = False,
        read: ReadError = read_error,
    ) -> HttpAnswer:
        """A request of the account's own. The signature covers the path without its query."""
        account, key = self._owner(), self.api_key
        if key is None:
            raise Refused(POLYMARKET, "expected an API key, was none: derive one first", 0, "unauthorized")
        address = account.key.address_text
        try:
            return await self._clob.request(
                method,
                path,
                effect=effect,
                query=query,
                body=body,
                headers=lambda: l2_headers(address, key, int(time.time()), method, path, body or b""),
                bucket=bucket,
                cost=cost,
                read_error=read,
                bare=bare,
            )
        except Unavailable as e:
            # Only the venue's own sentences prove that nothing happened; any 503 does not.
            if effect and e.status == 503 and not is_pause(e.code):
                raise OutcomeUnknown(POLYMARKET, str(e)) from e
            raise

    def _owner(self) -> SigningAccount:
        if self._account is None:
            raise Refused(
                POLYMARKET, "expected an account, was none: only market data can be read", 0, "unauthorized"
            )
        return self._account


class HeartbeatMismatch(Exception):
    """The venue expects another heartbeat id."""

    def __init__(self, expected: str) -> None:
        super().__init__(f"expected heartbeat id {expected}")
        self.expected = expected


def _too_long(path: str) -> BadAnswer:
    return BadAnswer(POLYMARKET, f"expected at most {POSITIONS_MAX - 1} rows of {path}, was more")


def _ends_in_nothing(rows: list[rest.Position]) -> bool:
    """Whether rows come by value, and the last ones are worth nothing."""
    worthless = [row.is_worthless for row in rows]
    return worthless[-1] and all(worthless[worthless.index(True) :])


def _heartbeat_id(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=rest.Beat).heartbeat_id
    except DECODE_ERRORS:
        return ""


def _read(answer: HttpAnswer, kind: type[Body]) -> Body:
    """The body of a question's answer."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except DECODE_ERRORS as e:
        raise BadAnswer(POLYMARKET, clip(f"expected another body: {e}", 300)) from e


def _effect(answer: HttpAnswer, kind: type[Body]) -> Body:
    """The body of an order's answer: one that cannot be read proves nothing."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except DECODE_ERRORS as e:
        raise OutcomeUnknown(POLYMARKET, clip(f"expected another body: {e}", 300)) from e
