"""Explanations beside the writer: a few workers at a time, and one look at a time.

Between two slices everybody else has a turn, so that nobody waits longer than for one
slice, however many explanations are asked for. A look that the account was rebuilt under,
or whose task moved on, begins anew.
"""

import asyncio

import msgspec

from flexcore.domain import limits
from flexcore.domain.clock import Clock
from flexcore.domain.errors import NotFound, Unavailable
from flexcore.domain.model import Task
from flexcore.engine.account import Account
from flexcore.engine.commands import Get, Principal
from flexcore.engine.routing.explain import Looking, explain, moved
from flexcore.engine.routing.explanation import Explanation


class Explaining:
    """Everybody who looks at workers for an explanation, in turns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: held for one slice and until the next turn of the loop
        self._turn = asyncio.Lock()

    async def explain(
        self, account: Account, principal: Principal, task_sid: str
    ) -> Explanation:
        """Return why a task is where it is, once all it rests on is durable."""
        for _ in range(limits.EXPLAIN_ATTEMPTS):
            found = await self._try(account, principal, task_sid)
            if found is not None:
                return found
        raise Unavailable(
            f"task {task_sid} moved each time it was looked at",
            retry_after=limits.SECOND,
        )

    async def _try(
        self, account: Account, principal: Principal, task_sid: str
    ) -> Explanation | None:
        get = Get(sid=task_sid)
        task = (await account.submit(principal, get)).rows[0]
        if not isinstance(task, Task):
            raise NotFound("task", task_sid)
        state, look, found = account.state, None, None
        while found is None:
            async with self._turn:
                await asyncio.sleep(0)
                if account.state is not state:
                    return None
                row = state.find(task_sid, Task)
                if look is None:
                    task = row or task
                    look = explain(state, task)
                elif moved(task, row):
                    return None
                found = self._slice(look)
        answer = await account.submit(principal, get)
        if account.state is not state:
            return None
        return msgspec.structs.replace(found, time=answer.time, names=answer.names)

    def _slice(self, look: Looking) -> Explanation | None:
        """Look at a few workers; None if there are more."""
        until = self._clock.now() + limits.EXPLAIN_TIME
        for _ in range(limits.EXPLAIN_WORKERS):
            try:
                next(look)
            except StopIteration as end:
                found: Explanation = end.value
                return found
            if self._clock.now() >= until:
                break
        return None
