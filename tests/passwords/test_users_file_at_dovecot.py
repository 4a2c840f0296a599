"""The users file is one that a real Dovecot reads: what was set there a moment ago opens it, and nothing older does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.task import deferLater

from mailferry.model.access import Secret
from mailferry.passwords import schemes
from mailferry.passwords.backend import NewPassword, PushResult
from mailferry.passwords.passwd_file import PasswdFile
from mailferry.passwords.setting import SETTLING_SECONDS
from mailferry.passwords.work_threads import WorkThreads
from tests.kit.peers import in_thread
from tests.kit.real_target import logs_in

pytestmark = [pytest.mark.deadline(60), pytest.mark.peer("dovecot")]

USER = "zhang@a.test"


async def early_in_a_second() -> None:
    """Wait for the begin of a second, so that what follows happens within it."""
    await deferLater(reactor, 1.05 - time.time() % 1, lambda: None)


@pytest.mark.hazard("D23")
async def test_two_passwords_set_within_one_second_leave_the_later_one_open(
    start_peer: Callable[..., Any], threads: WorkThreads
) -> None:
    dovecot = start_peer("dovecot", users={USER: "first"}, protocols=("imap",))
    backend = PasswdFile(dovecot.users_path, threads=threads)

    async def push(octets: bytes) -> None:
        new = NewPassword(schemes.make_hash("SSHA512", Secret(octets)), Secret(octets))
        assert await backend.push(USER, new, expected=await backend.current(USER)) is PushResult.DONE

    async def opens(octets: bytes) -> bool:
        return bool(await in_thread(logs_in, dovecot.ports["imap"], USER, octets))

    await early_in_a_second()
    await push(b"one")
    assert await opens(b"one")
    await push(b"two")  # as long a file as before, in the same second
    await deferLater(reactor, SETTLING_SECONDS, lambda: None)
    assert await opens(b"two")
    assert not await opens(b"one")
