"""A business address belongs to one account: claimed before it is used, given back after."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
)
from flexcore.engine import commands as c
from tests.engines import Running

BUSINESS = "+15550002222"


class Tenants(Running):
    """An engine with a second account."""

    async def open(self) -> "Tenants":
        await self.start()
        create = c.CreateAccount(friendly_name="second")
        account = (await self.submit(create)).rows[0]
        self.second = c.Principal(account.sid, "SK" + "2" * 32)
        return self

    async def configure(self, principal: c.Principal, **fields: str) -> None:
        create = c.CreateAddressConfiguration(address=BUSINESS, **fields)
        await self.engine.submit(principal, create)

    async def refuse(self, principal: c.Principal) -> None:
        """Have a configuration of the address refused by the account itself."""
        with pytest.raises(InvalidArgument):
            await self.configure(principal, auto_creation="nonsense")

    async def connect(self, principal: c.Principal) -> None:
        sender = c.CreateSender(
            address=BUSINESS,
            provider="twilio",
            base_url="https://carrier.example",
            public_url="https://us.example",
            carrier_account_sid="ACx",
            auth_token="secret",
        )
        await self.engine.submit(principal, sender)


@pytest.fixture
async def tenants(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Tenants]:
    running = await Tenants(tmp_path / "data", clock).open()
    yield running
    await running.close()


async def test_address_of_one_account_is_refused_to_another(tenants: Tenants) -> None:
    await tenants.configure(tenants.principal)

    with pytest.raises(AlreadyExists, match="belongs to another account"):
        await tenants.connect(tenants.second)


async def test_address_that_nothing_came_of_is_free_however_often(
    tenants: Tenants, clock: VirtualClock
) -> None:
    for _ in range(2):
        await tenants.refuse(tenants.principal)
        clock.advance(1)

    await tenants.configure(tenants.second)
    with pytest.raises(AlreadyExists, match="belongs to another account"):
        await tenants.configure(tenants.principal)


async def test_refused_second_use_leaves_the_address_with_its_account(
    tenants: Tenants,
) -> None:
    refused, configured = await asyncio.gather(
        tenants.refuse(tenants.principal), tenants.configure(tenants.principal)
    )

    assert (refused, configured) == (None, None)
    with pytest.raises(AlreadyExists, match="belongs to another account"):
        await tenants.configure(tenants.second)


async def test_address_left_claimed_by_a_crash_is_free_after_a_refusal(
    tenants: Tenants,
) -> None:
    directory = tenants.engine._directory
    operator = c.Principal(directory.sid, "server", operator=True)
    claim = c.ClaimAddress(address=BUSINESS, account_sid=tenants.principal.account_sid)
    await directory.submit(operator, claim)
    await tenants.refuse(tenants.principal)

    await tenants.configure(tenants.second)
    with pytest.raises(AlreadyExists, match="belongs to another account"):
        await tenants.configure(tenants.principal)


async def test_last_operator_key_cannot_be_revoked(tenants: Tenants) -> None:
    create = c.CreateKey(
        account_sid=tenants.principal.account_sid, friendly_name="no operator"
    )
    await tenants.submit(create)
    revoke = c.RevokeKey(
        account_sid=tenants.principal.account_sid, sid=tenants.principal.actor
    )

    with pytest.raises(FailedPrecondition, match="is the last of an operator"):
        await tenants.submit(revoke)
