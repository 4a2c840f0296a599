"""A listener of ours in the test's reactor, and checks whose verdicts the test gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from mailferry.gate.checking import CheckAttempt, Verdict
from mailferry.model.causes import Answer
from mailferry.net.carrier import Carrier
from mailferry.net.listen import bind, listen
from tests.kit.scripted import Talk, dial


class Checks:
    """Judges nothing: `waiting` are the Deferreds of the attempts, in order; `at_once` answers by password."""

    def __init__(self, at_once: dict[bytes, Verdict] | None = None) -> None:
        self.attempts: list[CheckAttempt] = []
        self.waiting: list[Deferred[Verdict]] = []
        self.cancelled = 0
        self._at_once = at_once or {}

    def check(self, attempt: CheckAttempt) -> Deferred[Verdict]:
        self.attempts.append(attempt)
        verdict: Deferred[Verdict] = Deferred(self._cancel)
        self.waiting.append(verdict)
        if (known := self._at_once.get(attempt.password.reveal())) is not None:
            verdict.callback(known)
        return verdict

    def _cancel(self, verdict: Deferred[Verdict]) -> None:
        self.cancelled += 1
        verdict.callback(Verdict(Answer.TEMPORARY))


class Listener:
    """Accepts on a free port for `accept`."""

    def __init__(self, reactor: Any, accept: Callable[[Carrier], None]) -> None:
        sock = bind("127.0.0.1", 0)
        self._listening = listen(reactor, sock, accept)
        sock.close()

    async def talk(self) -> Talk:
        """Connect."""
        return await dial(self._listening.address.port)

    async def stop(self) -> None:
        """Accept no more."""
        await self._listening.stop()
