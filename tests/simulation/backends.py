"""The backends of desks: each holds a session over some agents and vouches for them.

Sessions end and are opened again, programs get stuck, browsers are closed, and agents
turn up at another backend than before. Stands where AgentSession is: what it says goes to
the real engine/vouching.py, and is gone with the server.
"""

import random
from collections.abc import Callable
from functools import partial

from flexcore.engine.port import Voucher
from flexcore.engine.vouching import Vouching
from tests.simulation.people import Agent
from tests.simulation.site import Site

BACKENDS = 3
#: seconds between two heartbeats
BEAT = 15.0


class Backends:
    """All of them, and what the server that is up keeps of their sessions."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self.site, self.rng = site, rng
        self.agents: list[Agent] = []
        self._life: object = None
        self._vouching: Vouching | None = None

    def vouching(self) -> Vouching:
        """Return what the present server keeps; called within its loop only."""
        if self._vouching is None or self._life is not self.site.loop:
            self._life = self.site.loop
            self._vouching = Vouching(self.site.account, self.site.time, self.site.loop)
        return self._vouching

    def start(self, agents: list[Agent]) -> None:
        """Divide most agents among backends; for some nobody ever vouches."""
        self.agents = agents
        backends = [Backend(self) for _ in range(BACKENDS)]
        for agent in agents:
            if self.rng.random() < 0.8:
                self.rng.choice(backends).desks[agent.sid] = None
        for backend in backends:
            backend.beat()
            backend.meddle()


class Backend:
    """One program with one session."""

    def __init__(self, all_of_them: Backends) -> None:
        self._all = all_of_them
        self._rng = all_of_them.rng
        #: agents whose browser is open here
        self.desks: dict[str, None] = {}
        self._voucher: Voucher | None = None
        self._life: object = None
        self._stuck = False

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        self._all.site.time.after(seconds, then)

    def _say(self, what: Callable[[Voucher], None]) -> None:
        """Say something on the session, unless there is none or the program is stuck."""
        site = self._all.site
        if not self._stuck and site.up and self._life is site.loop:
            site.loop.call_soon(lambda: self._voucher and what(self._voucher))

    def _open(self) -> None:
        """Open a session and declare everybody who is here."""
        self._voucher = self._all.vouching().open(self._lost)
        self._voucher.connect(list(self.desks))

    def _lost(self) -> None:
        """Let go of those who sit elsewhere now."""
        for sid, _ in self._voucher.take_lost() if self._voucher else ():
            self.desks.pop(sid, None)

    def beat(self) -> None:
        """Vouch for everybody, with a new session if the server is another."""
        site = self._all.site
        if site.up and not self._stuck:
            if self._life is site.loop and self._voucher:
                self._say(lambda voucher: voucher.beat())
            else:
                self._life = site.loop
                site.loop.call_soon(self._open)
        self._later(BEAT, self.beat)

    # what goes wrong

    def meddle(self) -> None:
        """Let something go wrong, now and then."""
        self._later(self._rng.uniform(20, 200), self.meddle)
        wrong = (self._get_stuck, self._reopen, self._close_browser, self._change_desk)
        self._rng.choice(wrong)()

    def _get_stuck(self) -> None:
        self._stuck = True
        self._later(self._rng.uniform(20, 150), self._go_on)

    def _go_on(self) -> None:
        self._stuck = False
        self._say(lambda voucher: voucher.beat())

    def _reopen(self) -> None:
        """End the session; the next heartbeat opens another."""
        self._say(lambda voucher: voucher.close())
        self._life = None

    def _close_browser(self) -> None:
        if self.desks:
            sid = self._rng.choice(list(self.desks))
            del self.desks[sid]
            forget = self._rng.random() < 0.2
            self._say(lambda voucher: voucher.disconnect([sid], forget=forget))
            self._later(self._rng.uniform(2, 200), partial(self._open_browser, sid))

    def _open_browser(self, sid: str) -> None:
        self.desks[sid] = None
        self._say(lambda voucher: voucher.connect([sid]))

    def _change_desk(self) -> None:
        """Take somebody over from wherever they are."""
        self._open_browser(self._rng.choice(self._all.agents).sid)
