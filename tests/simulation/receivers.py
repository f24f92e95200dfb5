"""Whoever is asked about offers: mostly prompt, sometimes slow, broken for minutes.

Stands where the outbox and the network are: every question is two commands, and what is
under way when the server dies is gone with it.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial

from flexcore.domain.errors import Draining, Internal, Unavailable
from flexcore.domain.limits import MINUTE
from flexcore.domain.parts import CallbackReason
from flexcore.domain.states import OutboxState
from flexcore.engine import commands as c
from flexcore.store.interface import OutboxEntry
from tests.simulation.site import ACCOUNT, Site

Future = asyncio.Future[c.Answer]

_WHO = c.Principal(ACCOUNT, "outbox")
#: minutes at a time that nothing comes back, and how seldom
_BROKEN, _OF = 3, 10


class Receivers:
    """All of them; the runner of what asks them besides."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self._site = site
        self._rng = rng
        self._asking: set[str] = set()
        self._life: object = None

    def take(self, entries: Sequence[OutboxEntry]) -> None:
        """Take what a commit touched, or a start found."""
        if self._life is not self._site.loop:
            self._life, self._asking = self._site.loop, set()
        for entry in entries:
            cut_off = entry.sid not in self._asking
            attempting = entry.state is OutboxState.ATTEMPTING and cut_off
            if entry.state is OutboxState.READY or attempting:
                self._asking.add(entry.sid)
                self._later(0.001, partial(self._attempt, entry.sid))

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        """Do something later, if the server is still the same."""
        loop = self._site.loop

        def do() -> None:
            if loop is self._site.loop and self._site.up:
                loop.call_soon(then)

        self._site.time.after(seconds, do)

    def _attempt(self, sid: str) -> None:
        self._submit(c.AttemptCallback(sid=sid), partial(self._ask, sid))

    def _ask(self, sid: str, attempted: c.Answer) -> None:
        if attempted.rows:
            wait = self._rng.choice((0.1, 0.5, 1, 5))
            self._later(wait, partial(self._report, self._answer(sid)))

    def _answer(self, sid: str) -> c.ReportCallback:
        broken = self._site.time.now() // MINUTE % _OF < _BROKEN
        chance = self._rng.random()
        if broken or chance < 0.05:
            return c.ReportCallback(sid=sid, problem=CallbackReason.UNREACHABLE)
        if chance < 0.3:
            return c.ReportCallback(sid=sid, instruction="accept")
        if chance < 0.35:
            activity = self._rng.choice(("", "", "Break", "Holidays"))
            return c.ReportCallback(sid=sid, instruction="reject", activity=activity)
        missing = CallbackReason.INSTRUCTION_MISSING if chance < 0.4 else None
        return c.ReportCallback(sid=sid, problem=missing)

    def _report(self, command: c.ReportCallback) -> None:
        self._submit(command, lambda _: None)

    def _submit(self, command: c.Command, then: Callable[[c.Answer], None]) -> None:
        """Submit until it is taken or refused for good."""
        loop = self._site.loop

        def answered(future: Future) -> None:
            if future.cancelled() or loop.crashed:
                return
            error = future.exception()
            if error is None:
                then(future.result())
            elif isinstance(error, Unavailable | Draining | Internal):
                self._later(1, partial(self._submit, command, then))

        self._site.account.submit(_WHO, command).add_done_callback(answered)
