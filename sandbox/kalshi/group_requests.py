"""REST of an account's order groups."""

from aiohttp import web
from msgspec import Struct

from proto.units import ONE
from sandbox.kalshi.bodies import count
from sandbox.kalshi.exchange import KalshiExchange
from sandbox.kalshi.groups import OrderGroup
from sandbox.kalshi.market_data import PREFIX
from sandbox.kalshi.order_bodies import count_of, read_body
from sandbox.kalshi.pages import index_of
from sandbox.kalshi.portfolio import AccountOf
from sandbox.kalshi.refusals import answer, bad_request
from sandbox.kalshi.shards import routed
from sandbox.world.world import World


class _Limit(Struct):
    contracts_limit: int | None = None
    contracts_limit_fp: str | None = None
    subaccount: int = 0
    exchange_index: int | None = None


class GroupRequests:
    """Handlers of requests about order groups."""

    def __init__(self, world: World, exchange: KalshiExchange, account_of: AccountOf) -> None:
        self._world = world
        self._exchange = exchange
        self._account_of = account_of

    def routes(self) -> list[web.RouteDef]:
        """Return the routes: fixed paths before those with an id in them."""
        groups = f"{PREFIX}/portfolio/order_groups"
        return [
            web.get(groups, self._groups),
            web.post(f"{groups}/create", self._create_group),
            web.get(f"{groups}/{{group}}", self._group),
            web.delete(f"{groups}/{{group}}", self._delete_group),
            web.put(f"{groups}/{{group}}/trigger", self._trigger_group),
            web.put(f"{groups}/{{group}}/reset", self._reset_group),
            web.put(f"{groups}/{{group}}/limit", self._limit_group),
        ]

    def _asked(self, request: web.Request) -> OrderGroup:
        """Return the group that a request would change, if it is the account's and on the shard that it names."""
        owner = self._account_of(request).owner
        shard = routed(index_of(request), None, None)
        return self._exchange.groups.get(request.match_info["group"], owner, shard)

    async def _groups(self, request: web.Request) -> web.Response:
        groups = self._exchange.groups.of(self._account_of(request).owner)
        return answer({"order_groups": [group.summary() for group in groups]})

    async def _create_group(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        body = read_body(await request.read(), _Limit)
        shard = routed(body.exchange_index, None, None)
        group = self._exchange.groups.create(account.owner, _limit(body), shard)
        self._exchange.tell_group(group, "created")
        made = {"order_group_id": group.group_id, "subaccount": body.subaccount, "exchange_index": shard}
        return answer(made, 201)

    async def _group(self, request: web.Request) -> web.Response:
        """Tell of a group, whatever its shard: this request alone names none."""
        owner = self._account_of(request).owner
        group = self._exchange.groups.get(request.match_info["group"], owner)
        orders = [
            record.order_id
            for record in self._exchange.records
            if record.group_id == group.group_id and record.status == "resting"
        ]
        body = {"is_auto_cancel_enabled": group.enabled, "orders": orders, "exchange_index": group.shard}
        return answer({**body, "contracts_limit_fp": count(group.limit)})

    async def _delete_group(self, request: web.Request) -> web.Response:
        group = self._asked(request)
        self._exchange.trigger(group)
        self._exchange.groups.delete(group)
        self._exchange.tell_group(group, "deleted")
        return answer({})

    async def _trigger_group(self, request: web.Request) -> web.Response:
        self._exchange.trigger(self._asked(request))
        return answer({})

    async def _reset_group(self, request: web.Request) -> web.Response:
        group = self._asked(request)
        group.enabled = True
        group.fills.clear()
        self._exchange.tell_group(group, "reset")
        return answer({})

    async def _limit_group(self, request: web.Request) -> web.Response:
        group = self._asked(request)
        group.limit = _limit(read_body(await request.read(), _Limit)) * ONE
        self._exchange.tell_group(group, "limit_updated")
        if group.is_exceeded(self._world.now()):
            self._exchange.trigger(group)
        return answer({})


def _limit(body: _Limit) -> int:
    if body.contracts_limit is not None:
        return body.contracts_limit
    if body.contracts_limit_fp is not None:
        return count_of(body.contracts_limit_fp) // ONE
    raise bad_request("expected contracts_limit")
