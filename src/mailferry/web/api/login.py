"""`POST /login`: a webmail's own login code asks whether a user's password is right.

Judged as a mail program's login, by whom the account belongs to at the moment; the first accepted one
starts the move. What a mail program is not told (whether an account exists) is not told here either.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import Field, field_validator

from mailferry.gate.checking import CheckAttempt, Verdict
from mailferry.gate.place import find_place
from mailferry.model.account import State, Trigger, state_of
from mailferry.model.causes import Answer, Cause
from mailferry.plan.addresses import BadAddress, canonical_address, domain_of
from mailferry.providers.sentences import client_sentence, user_advice
from mailferry.roster.rights import Rights
from mailferry.web.api import shapes
from mailferry.web.api.asking import PasswordBody
from mailferry.web.api.door import Webmail
from mailferry.web.desk import Desk
from mailferry.wire.proxy_header import Endpoint

_NOBODY = "nobody@not-yours.invalid"
"""Stands for a user whom the token is not for: no domain of ours, judged in the gate's own time (RFC 2606)."""

_VERDICTS = {None: "accepted", Answer.REFUSED: "refused", Answer.TEMPORARY: "unavailable"}
_PLAIN = client_sentence(Cause.BAD_CREDENTIALS, "en")


class LoginBody(PasswordBody):
    """What the user typed, and where from."""

    address: str = Field(min_length=1, max_length=1000)
    client_ip: str = Field(
        max_length=64,
        description="The user's own address: wrong passwords are counted by it.",
        json_schema_extra={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
    )

    @field_validator("client_ip")
    @classmethod
    def _an_address(cls, text: str) -> str:
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise ValueError("an IP address such as 192.0.2.7 is expected") from None


def login_routes(desk: Desk) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["login"])

    @routes.post("/login", response_model=shapes.LoginVerdict)
    async def login(who: Webmail, body: LoginBody) -> Response:
        """Judge a user's password as a mail program's login; the first accepted one starts the move."""
        attempt = CheckAttempt(
            body.address if _may_ask(who, body.address) else _NOBODY,
            body.secret(),
            Endpoint(body.client_ip, 0),
            Trigger.WEBMAIL,
        )
        verdict = await desk.on_reactor(lambda: desk.checker.check(attempt))
        return JSONResponse(await run_in_threadpool(told, verdict))

    def told(verdict: Verdict) -> dict[str, Any]:
        state, cause = _now(desk, verdict.address) if verdict.accepted else (None, _told_cause(verdict))
        told_of = Cause.INTERNAL if verdict.answer is Answer.TEMPORARY else cause
        return {
            "verdict": _VERDICTS[verdict.answer],
            "address": verdict.address if verdict.accepted else None,
            "side": None if verdict.side is None or not verdict.accepted else verdict.side.value,
            "state": None if state is None else state.value,
            "cause": None if cause is None else cause.value,
            "advice": None if told_of is None else user_advice(told_of),
            "text": "" if verdict.accepted else verdict.text,
        }

    return routes


def _told_cause(verdict: Verdict) -> Cause | None:
    """Return the cause of a refusal as far as mail programs are told it.

    They read the same for a wrong password and an unknown user, and "later" for whatever else: that the
    target's rules refuse a password would say that it is the right one.
    """
    if verdict.answer is not Answer.REFUSED or verdict.cause is None:
        return None
    plain = client_sentence(verdict.cause, "en") == _PLAIN
    return Cause.BAD_CREDENTIALS if plain else verdict.cause


def _may_ask(who: Rights, typed: str) -> bool:
    if who.domains is None:
        return True
    try:
        return who.may_read(domain_of(canonical_address(typed)))
    except BadAddress:
        return False


def _now(desk: Desk, address: str) -> tuple[State | None, Cause | None]:
    """Return the state of who is logged in, and why the move does not go on if it failed."""
    place = desk.database.read_now("login", lambda conn: find_place(conn, address))
    if place is None:
        return None, None
    state = state_of(place.phase)
    failed = state is State.FAILED and place.account is not None
    return state, place.account.cause if failed and place.account is not None else None
