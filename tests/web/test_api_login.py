"""A webmail's own login: the same verdicts as the doors, told as JSON."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread

from mailferry.lab.premises import LabAccount
from mailferry.model.account import Phase, Trigger
from mailferry.roster.tokens import Scope
from mailferry.store.database import Database
from tests.kit.canary import search
from tests.kit.move import DOMAIN, OLD, OTHER, USER
from tests.web.conftest import MakeUserSite
from tests.web.program import Program, make_token, problem_of

pytestmark = pytest.mark.deadline(40)
CLIENT = "203.0.113.7"


class Webmail:
    """A webmail whose blocking calls run in a thread."""

    def __init__(self, site: FastAPI, store: Database, domain: str | None = None) -> None:
        self._program = Program(site, make_token(store, "webmail", [Scope.LOGIN], domain))

    async def ask(self, password: bytes | str = OLD, address: str = USER, **more: Any) -> httpx.Response:
        text = password if isinstance(password, str) else password.decode()
        body = {"address": address, "password": text, "client_ip": CLIENT, **more}
        return await deferToThread(self._program.ask, "POST", "/login", json=body)

    async def login(self, password: bytes | str = OLD, address: str = USER, **more: Any) -> dict[str, Any]:
        answer = await self.ask(password, address, **more)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said


async def test_the_first_accepted_login_starts_the_move_and_the_next_dials_nobody(
    user_site: MakeUserSite, store: Database
) -> None:
    move, site = await user_site()
    webmail = Webmail(site, store)
    said = await webmail.login(address="Li@OLD.test")
    assert said == {
        "verdict": "accepted",
        "address": USER,
        "side": "source",
        "state": "in_progress",
        "cause": None,
        "advice": None,
        "text": "",
    }
    account = move.known()
    assert (account.phase, account.trigger) == (Phase.PRECOPY, Trigger.WEBMAIL)
    assert (await webmail.login())["verdict"] == "accepted"
    sessions = [record for record in move.source.premises.records if record.address == USER]
    assert len(sessions) == 1, "its password was right within a day"


@pytest.mark.hazard("T30")
async def test_wrong_password_unknown_user_unknown_domain_and_other_domains_read_the_same(
    user_site: MakeUserSite, store: Database
) -> None:
    from twisted.internet import reactor

    move, site = await user_site()
    everywhere, elsewhere = (
        Webmail(site, store),
        Program(site, make_token(store, "narrow", [Scope.LOGIN], DOMAIN)),
    )
    began = reactor.seconds()
    texts = []

    async def guess(address: str) -> None:
        answer = await everywhere.ask("wrong", address)
        assert reactor.seconds() - began >= 2.0
        texts.append(answer.text)

    async def narrow() -> None:
        body = {"address": "li@elsewhere.test", "password": "wrong", "client_ip": CLIENT}
        answer = await deferToThread(elsewhere.ask, "POST", "/login", json=body)
        assert reactor.seconds() - began >= 2.0
        texts.append(answer.text)

    tries = [guess(address) for address in (USER, "nobody@old.test", "li@elsewhere.test", "no address")]
    for ok, result in await DeferredList([Deferred.fromCoroutine(one) for one in (*tries, narrow())]):
        assert ok, result
    facts = {text.partition('"text"')[0] for text in texts}
    assert len(facts) == 1, facts
    assert '"verdict":"refused"' in facts.pop()
    assert move.account() is None


async def test_a_token_of_one_domain_judges_no_other_users(user_site: MakeUserSite, store: Database) -> None:
    from mailferry.roster import domains
    from tests.roster.rows import entry

    move, site = await user_site()
    domains.add(store, entry("other.test"), who="test")
    narrow = Webmail(site, store, "other.test")
    assert (await narrow.login())["verdict"] == "refused", "the right password of another domain's user"
    assert move.account() is None
    assert not move.source.premises.records


@pytest.mark.hazard("D20")
async def test_a_source_that_is_down_is_unavailable_and_no_refusal(
    user_site: MakeUserSite, store: Database
) -> None:
    move, site = await user_site()
    await move.source.stop()
    said = await Webmail(site, store).login()
    assert (said["verdict"], said["side"], said["state"], said["cause"]) == ("unavailable", None, None, None)
    assert said["advice"]["en"].startswith("The mail service cannot check this login")
    assert said["advice"]["zh"]


async def test_who_lives_on_the_target_is_judged_there(user_site: MakeUserSite, store: Database) -> None:
    move, site = await user_site(target_hash="{PLAIN}" + OTHER.decode())
    said = await Webmail(site, store).login(OTHER)
    assert (said["verdict"], said["side"], said["state"]) == ("accepted", "target", "not_migrating")
    assert move.known().phase is Phase.LOCAL


@pytest.mark.hazard("T31")
async def test_passwords_are_octets_and_stand_in_no_answer(user_site: MakeUserSite, store: Database) -> None:
    import base64

    odd = b"p\xff\xe9 canary"
    _, site = await user_site(source_accounts={USER: LabAccount(odd)})
    webmail = Webmail(site, store)
    answers = [await webmail.ask("wrong canary"), await webmail.ask(password_base64="")]
    body = {"address": USER, "password_base64": base64.b64encode(odd).decode(), "client_ip": CLIENT}
    answers.append(await deferToThread(webmail._program.ask, "POST", "/login", json=body))
    assert answers[-1].json()["verdict"] == "accepted"
    assert not [hit for answer in answers for hit in search(answer.content, [odd, b"wrong canary"])]


@pytest.mark.parametrize("client_ip", ["", "nowhere", "192.0.2.7:80", "192.0.2.0/24", None])
def test_a_login_without_the_users_own_address_is_a_problem(
    site: FastAPI, store: Database, client_ip: str | None
) -> None:
    program = Program(site, make_token(store, "webmail", [Scope.LOGIN]))
    body = {"address": USER, "password": "x", "client_ip": client_ip}
    said = problem_of(program.ask("POST", "/login", json=body))
    assert said["errors"][0]["where"] == "body.client_ip"
