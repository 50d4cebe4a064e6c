"""Publishing in tests whose broker is alive: there is no fault in that a busy machine answers late."""

import asyncio

from libs.tape.publisher import Publisher, Stored
from tests.support.waiting import PATIENCE_S


class PatientPublisher(Publisher):
    """Waits for acknowledgements much longer than a service would."""

    async def wait(self, future: asyncio.Future[Stored]) -> Stored:
        async with asyncio.timeout(PATIENCE_S):
            return await future
