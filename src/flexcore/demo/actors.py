"""Processes that are told what to do and tell what happens, one JSON line each way.

A question is {"ask", "id", ...}, its answer {"id", ...} or {"id", "error"}; what happens
by itself is {"event", ...}.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from flexcore.terminal import typed

#: how long an answer or an event may take before the demonstration has failed
PATIENCE_SECONDS = 15.0
#: how long a process may take to end by itself
ENDING_SECONDS = 5.0
#: bytes of one line between the processes
_LINE_BYTES = 1 << 20

Facts = dict[str, Any]
Answer = Callable[..., Awaitable[Facts | None]]


class Violated(Exception):
    """Something did not happen as promised; the text says what."""


class Process:
    """A child process; its whole group is ended with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: asyncio.subprocess.Process | None = None

    @property
    def child(self) -> asyncio.subprocess.Process:
        """The process, which must have been started."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    async def start(self, *arguments: str) -> None:
        """Start this Python with `arguments`."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            # Ctrl-C in the terminal is for the director, who ends the others in order.
            start_new_session=True,
        )

    async def line(self) -> str:
        """Return the next line of output; Violated when the process ended instead."""
        assert self.child.stdout is not None, "its output is a pipe"
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self.child.stdout.readline()
        if not line:
            raise Violated(f"{self.name} ended: {await self._last_words()}")
        return line.decode().rstrip("\n")

    async def kill(self) -> None:
        """End it with SIGKILL, as a power cut would: nothing is tidied up."""
        self._send(signal.SIGKILL)
        await self.child.wait()

    async def close(self) -> None:
        """End it in order, by force when that takes too long."""
        if self._process is None or self.child.returncode is not None:
            return
        self._send(signal.SIGTERM)
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                await self.child.communicate()
        except TimeoutError:
            await self.kill()

    def _send(self, number: signal.Signals) -> None:
        # Not by its transport, which would look whether the child has ended and thereby
        # take its exit code away from asyncio.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child.pid, number)

    async def _last_words(self) -> str:
        assert self.child.stderr is not None, "its errors are a pipe"
        text = (await self.child.stderr.read()).decode().strip()
        return text.splitlines()[-1] if text else "without a word"


class Actor(Process):
    """A client process that takes questions and tells events."""

    def __init__(self, name: str, module: str) -> None:
        super().__init__(name)
        self._module = module
        self._answers: dict[int, asyncio.Future[Facts]] = {}
        self._count = 0
        self.events: list[Facts] = []
        self._news = asyncio.Condition()
        self._listener: asyncio.Task[None] | None = None
        #: why nothing more will come
        self._ended: Violated | None = None

    async def start(self, *arguments: str) -> None:
        """Start the module and listen to it."""
        await super().start("-m", self._module, *arguments)
        self._listener = asyncio.create_task(self._listen())

    async def ask(self, question: str, **facts: Any) -> Facts:
        """Return the answer; Violated when it is an error or does not come."""
        if self._ended is not None:
            raise self._ended
        self._count += 1
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._count] = answer
        line = json.dumps({"ask": question, "id": self._count, **facts})
        assert self.child.stdin is not None, "its input is a pipe"
        self.child.stdin.write(line.encode() + b"\n")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                told: Facts = await answer
        except TimeoutError as error:
            raise Violated(f"{self.name} did not answer {question}") from error
        if "error" in told:
            raise Violated(f"{self.name} could not {question}: {told['error']}")
        return told

    async def until(self, event: str, **facts: Any) -> Facts:
        """Return the first event with these facts, past or to come."""
        wanted = {"event": event, **facts}

        def found() -> Facts | None:
            told = (each for each in self.events if _contains(each, wanted))
            return next(told, None)

        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._news:
                await self._news.wait_for(lambda: found() or self._ended)
        except TimeoutError as error:
            said = f"{event} {facts or ''}".strip()
            raise Violated(f"{self.name} never told: {said}") from error
        told = found()
        if told is None:
            assert self._ended is not None, "or something was found"
            raise self._ended
        return told

    async def close(self) -> None:
        """Stop listening and end the process."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await super().close()

    async def _listen(self) -> None:
        assert self.child.stdout is not None, "its output is a pipe"
        async for line in self.child.stdout:
            told = json.loads(line)
            if "event" in told:
                self.events.append(told)
                async with self._news:
                    self._news.notify_all()
            else:
                self._answers.pop(told["id"]).set_result(told)
        self._ended = Violated(f"{self.name} ended: {await self._last_words()}")
        for answer in self._answers.values():
            answer.set_exception(self._ended)
        async with self._news:
            self._news.notify_all()


class Role:
    """The other end: answers questions from standard input until it closes."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @staticmethod
    def tell(event: str, **facts: Any) -> None:
        """Tell what happened."""
        print(json.dumps({"event": event, **facts}), flush=True)

    async def serve(self, questions: Mapping[str, Answer]) -> None:
        """Answer questions, each in a task of its own, until there are no more."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        reader = asyncio.create_task(self._read(questions))
        ending = asyncio.create_task(stop.wait())
        await asyncio.wait((reader, ending), return_when="FIRST_COMPLETED")
        for task in (reader, ending):
            task.cancel()
        await asyncio.gather(reader, ending, return_exceptions=True)

    async def _read(self, questions: Mapping[str, Answer]) -> None:
        async for line in typed():
            facts = json.loads(line)
            answer = questions[facts.pop("ask")]
            task = asyncio.create_task(self._answer(answer, facts.pop("id"), facts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, answer: Answer, number: int, facts: Facts) -> None:
        try:
            told = await answer(**facts) or {}
        except Exception as error:  # noqa: BLE001  # told to the director, who fails
            told = {"error": " ".join(str(error).split()) or type(error).__name__}
        print(json.dumps({"id": number, **told}), flush=True)


def _contains(told: Facts, wanted: Facts) -> bool:
    return all(told.get(name) == value for name, value in wanted.items())
