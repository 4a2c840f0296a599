"""The web process itself: pages and gate share its one loop, and it leaves nothing behind when it stops."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from mailferry.lab.host import LabHost
from mailferry.lab.premises import LabAccount
from mailferry.model.access import Secret
from mailferry.roster import overview, sign_ins
from mailferry.store.database import Database
from tests.kit.canary import canary, search
from tests.kit.move import MASTER, url
from tests.kit.service import Service

USER = "li@old.test"
OLD = canary("old")
CONSOLE = canary("console")


class Web:
    """A service of one web process before two lab hosts."""

    def __init__(self, tmp_path: Path, target: LabHost, users: Path) -> None:
        self.service = Service(
            tmp_path / "service",
            target_imap=url("imap", target.imap_port),
            target_pop3=url("pop3", target.pop3_port),
            master_password=MASTER[1].decode(),
            passwd_file=users,
        )
        self.base = f"http://127.0.0.1:{self.service.web_port}"

    def begin(self, source: LabHost) -> None:
        self.service.run(
            "domain", "add", "old.test", "--accept-plaintext",
            "--source", url("imap", source.imap_port), "--source-pop3", url("pop3", source.pop3_port),
        )  # fmt: skip
        database = Database(f"sqlite:///{self.service.state_dir}/mailferry.db")
        sign_ins.add(database, "anna", Secret(CONSOLE.encode()), who="test")
        database.close()
        self.service.start(("--role", "web"))

    def browser(self, **headers: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.base, headers={"origin": self.base, **headers}, follow_redirects=True, timeout=30
        )


@pytest_twisted.async_yield_fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    from twisted.internet import reactor

    users = tmp_path / "users"
    users.write_text(f"{USER}:{{PLAIN}}not the old one:::::: \n")
    source = LabHost(reactor, "source", accounts={USER: LabAccount(OLD.encode())})
    target = LabHost(reactor, "target", accounts={USER: LabAccount()}, passwd_file=users, master=MASTER)
    await source.start()
    await target.start()
    web = Web(tmp_path, target, users)
    await deferToThread(web.begin, source)
    yield web
    await deferToThread(web.service.stop)
    await source.stop()
    await target.stop()


def visit(web: Web) -> str:
    """Use both pages as people do; return the account's state as the command line shows it."""
    with web.browser() as user, web.browser() as admin:
        wrong = user.post("/sign-in", data={"address": USER, "password": "wrong"})
        assert wrong.status_code == 401, wrong.text
        page = user.post("/sign-in", data={"address": USER, "password": OLD})
        assert USER in page.text
        assert "In progress" in page.text
        assert not list(search(page.content, [OLD]))
        page = admin.post("/admin/sign-in", data={"name": "anna", "password": CONSOLE})
        assert "Accounts by state" in page.text
        page = admin.post("/admin/account/pause", data={"address": USER})
        assert "Copying is paused" in page.text
    forms = httpx.post(f"{web.base}/sign-out")
    assert forms.status_code == 403
    return str(web.service.show(USER)["phase"])


def behind_a_web_server(web: Web) -> str:
    with web.browser(**{"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.77"}) as admin:
        answer = admin.post(
            "/admin/sign-in", data={"name": "anna", "password": CONSOLE}, follow_redirects=False
        )
        return answer.headers["set-cookie"]


def begin_a_comparison(web: Web, silent_port: int) -> None:
    """Ask for a comparison with an old host that says nothing, and look at it while it waits there."""
    web.service.run("domain", "set", "old.test", "--source", url("imap", silent_port))
    token = web.service.run("admin", "token", "add", "robot", "--scope", "write").stdout.strip()
    with httpx.Client(base_url=web.base, headers={"authorization": f"Bearer {token}"}) as robot:
        begun = robot.post(f"/api/v1/accounts/{USER}/verify")
        assert begun.status_code == 202, begun.text
        assert robot.get(begun.headers["location"]).json()["state"] == "running"


@pytest.mark.deadline(90)
async def test_both_pages_work_in_the_process_that_is_run(web: Web) -> None:
    assert await deferToThread(visit, web) == "PRECOPY"
    assert "Secure" in await deferToThread(behind_a_web_server, web)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        await deferToThread(begin_a_comparison, web, silent.getsockname()[1])
        assert await deferToThread(web.service.stop) == 0
    log = web.service.log.read_bytes()
    assert b"192.0.2.77" in log
    assert not list(search(log, [OLD, CONSOLE]))
    assert b"comparisons end with this process" in log
    assert b"Traceback" not in log
    database = Database(f"sqlite:///{web.service.state_dir}/mailferry.db")
    assert overview.processes(database) == []
    database.close()
