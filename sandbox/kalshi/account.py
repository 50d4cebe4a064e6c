"""REST of what an account is told about its limits, and of what requests cost."""

from aiohttp import web

from sandbox.kalshi.limits import Budgets, costs_body
from sandbox.kalshi.market_data import PREFIX
from sandbox.kalshi.refusals import answer


class AccountRequests:
    """Handlers of these requests."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{PREFIX}/account/limits", self._limits),
            web.get(f"{PREFIX}/account/endpoint_costs", self._costs),
        ]

    async def _limits(self, _request: web.Request) -> web.Response:
        return answer(self._budgets.body())

    async def _costs(self, _request: web.Request) -> web.Response:
        return answer(costs_body(PREFIX))
