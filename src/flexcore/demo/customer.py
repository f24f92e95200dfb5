"""The customers' side as a process: a carrier on loopback and the phones behind it.

It knows flexcore by HTTP alone: signed form webhooks in, the Messages API out.
"""

import asyncio
import sys

from flexcore.carrier import Fault
from flexcore.demo.actors import Facts, Role
from flexcore.phone import Carrier, Phone


class Customers(Role):
    """The phones of one carrier."""

    def __init__(self, carrier: Carrier) -> None:
        super().__init__()
        self._carrier = carrier
        self._listeners: dict[str, asyncio.Task[None]] = {}

    async def connect(self, *, business: str, inbound_url: str) -> None:
        """Post what is said to `business` to its webhook from now on."""
        self._carrier.connect(business, inbound_url)

    async def say(
        self, *, number: str, to: str, body: str, message_sid: str = ""
    ) -> Facts:
        """Say something as a customer; the same `message_sid` is the same message."""
        phone = self._phone(number)
        sid = await phone.send(to, body, message_sid=message_sid)
        return {"message_sid": sid}

    async def hold(self) -> None:
        """Take the next message of the business without ever answering."""
        self._carrier.inject(Fault.HOLD)

    def _phone(self, number: str) -> Phone:
        phone = self._carrier.phone(number)
        if number not in self._listeners:
            task = asyncio.create_task(self._listen(phone))
            self._listeners[number] = task
            self._tasks.add(task)
        return phone

    async def _listen(self, phone: Phone) -> None:
        while True:
            text = await phone.received.get()
            self.tell(
                "received",
                number=phone.number,
                body=text.body,
                sent_from=text.sent_from,
            )


async def _main(account_sid: str, auth_token: str) -> None:
    carrier = Carrier(account_sid, auth_token)
    base_url = await carrier.start()
    try:
        async with Customers(carrier) as customers:
            customers.tell("ready", base_url=base_url)
            await customers.serve(
                {
                    "connect": customers.connect,
                    "say": customers.say,
                    "hold": customers.hold,
                }
            )
    finally:
        await carrier.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
