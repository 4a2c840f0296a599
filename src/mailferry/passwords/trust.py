"""The words between the password keeper and who asks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mailferry.model.access import Secret
from mailferry.model.causes import CAUSES, Answer, Cause
from mailferry.store.domains import Domain

Prove = Callable[[str, Domain, Secret], Awaitable[object]]
"""Logs in at the target as (address, domain, password) and closes again; raises Refused or Unavailable."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether the target takes the password now; if not, what the client is told and why."""

    in_place: bool
    answer: Answer = Answer.TEMPORARY
    cause: Cause = Cause.UNKNOWN
    text: str = ""


IN_PLACE = Trust(in_place=True)


def refused(text: str) -> Trust:
    """The password does not count: it reads as a wrong one."""
    return Trust(in_place=False, answer=Answer.REFUSED, cause=Cause.BAD_CREDENTIALS, text=text)


def failed(cause: Cause, text: str) -> Trust:
    """The password could not be brought there, which is never a refusal."""
    answer = CAUSES[cause].answer
    return Trust(
        in_place=False,
        answer=Answer.TEMPORARY if answer is Answer.REFUSED else answer,
        cause=cause,
        text=text,
    )
