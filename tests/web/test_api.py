"""The API: what it shows and does is what the roster does, and every fault is a problem."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from twisted.internet.defer import Deferred, succeed

from mailferry.app.checking import Line, Sign
from mailferry.model.access import Secret
from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.passwords.sealing import KeyRing, Purpose
from mailferry.providers.detection import Gathered
from mailferry.roster import accounts, domains, overview
from mailferry.roster.account_files import export_accounts
from mailferry.store import passwords
from mailferry.store.database import Database
from mailferry.web.api import shapes
from mailferry.web.api.edge import BODY_OCTETS
from mailferry.web.old_hosts import OldHosts, Report
from mailferry.web.site import make_site
from tests.kit.canary import canary, search
from tests.web.accounts import DOMAIN, USER, add_account, add_domain, add_failed, get
from tests.web.conftest import MakeDesk
from tests.web.program import Program, make_token, problem_of

CONTRACT = {
    "address", "domain", "state", "phase", "provider", "trigger", "started_at", "finished_at",
    "window_ends_at", "messages", "bytes", "percent", "eta_seconds", "completeness", "last_run",
    "password", "bypass",
}  # fmt: skip
CONTRACT_PARTS = {
    "messages": {"total", "copied", "remaining", "skipped"},
    "bytes": {"total", "copied"},
    "last_run": {"result", "cause", "who_must_act", "advice", "ended_at", "next_retry_at"},
    "password": {"verified_at", "pushed_at", "proved_at", "target_wins"},
    "bypass": {"changes_seen", "last_at"},
}


@pytest.fixture
def robot(site: FastAPI, store: Database) -> Program:
    """A program whose token may do everything but log users in."""
    return Program(site, make_token(store))


@pytest.fixture
def failed(store: Database) -> None:
    add_domain(store)
    add_failed(store, text="NO password expired")


def last_audit(database: Database) -> tuple[str, str, str]:
    row = overview.audit_log(database, limit=1)[0]
    return row["who"], row["what"], row["subject"]


# --- accounts


def test_an_account_reads_as_the_contract_says(robot: Program, store: Database, failed: None) -> None:
    found = robot.get("/accounts/Li@Old.test")
    assert found == accounts.show(store, USER)
    assert set(found) >= CONTRACT
    for name, parts in CONTRACT_PARTS.items():
        assert set(found[name]) >= parts
    assert set(found["last_run"]["advice"]) == {"en", "zh"}


@pytest.mark.parametrize(
    ("path", "shape", "within"),
    [
        ("/accounts/li@old.test", shapes.Account, ()),
        ("/accounts/li@old.test", shapes.LastRun, ("last_run",)),
        ("/accounts/li@old.test", shapes.PasswordFacts, ("password",)),
        ("/accounts", shapes.AccountList, ()),
        ("/accounts", shapes.AccountSummary, ("accounts", 0)),
        ("/accounts/li@old.test/log", shapes.HistoryRow, ("changes", 0)),
        ("/domains/old.test", shapes.Domain, ()),
        ("/overview", shapes.Overview, ()),
        ("/audit", shapes.AuditRow, ("rows", 0)),
    ],
)
def test_the_description_names_what_the_answers_hold(
    robot: Program, failed: None, path: str, shape: Any, within: tuple[Any, ...]
) -> None:
    found = robot.get(path)
    for step in within:
        found = found[step]
    described = {field.alias or name for name, field in shape.model_fields.items()}
    assert set(found) == described
    shape.model_validate(found)


def test_accounts_come_in_pages_whatever_their_order(robot: Program, store: Database) -> None:
    add_domain(store)
    everybody = [f"user{number:02}@old.test" for number in range(23)]
    for number, address in enumerate(everybody):
        add_account(store, address, total=100, copied=number % 5)
    for sort in ("address", "state", "percent", "activity"):
        for descending in (False, True):
            seen, query = [], {"limit": 5, "sort": sort, "descending": descending}
            while True:
                page = robot.get("/accounts", **query)
                assert page["matching"] == 23
                seen += [one["address"] for one in page["accounts"]]
                if page["next"] is None:
                    break
                query["cursor"] = page["next"]
            assert sorted(seen) == everybody, (sort, descending)
    assert seen != everybody


def test_accounts_are_found_by_filters(robot: Program, store: Database, failed: None) -> None:
    add_account(store, "wang@old.test")
    add_domain(store, "other.test")
    add_account(store, "zhao@other.test")

    def found(**query: Any) -> list[str]:
        return [one["address"].partition("@")[0] for one in robot.get("/accounts", **query)["accounts"]]

    assert found() == ["li", "wang", "zhao"]
    assert found(domain="old.test") == ["li", "wang"]
    assert found(state="failed") == found(cause="expired") == found(actor="administrator") == ["li"]
    assert found(search="AN") == ["wang"]
    assert found(paused=True) == []


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "!"},
        {"cursor": "WyJ4Il0"},
        {"cursor": "W10"},
        {"cursor": "bnVsbA"},
        {"cursor": "WyJhY2NvdW50cyBhZGRyZXNzIEZhbHNlIiwgWzFdXQ"},
        {"limit": 0},
        {"limit": 100000},
        {"state": "lost"},
        {"cause": "bad luck"},
        {"search": "a\0b"},
        {"domain": "a\0b"},
        {"sort": "colour"},
    ],
    ids=str,
)
def test_a_list_that_cannot_be_is_a_problem(robot: Program, failed: None, query: dict[str, Any]) -> None:
    answer = robot.ask("GET", "/accounts", params=query)
    assert problem_of(answer)["status"] == 422


def test_a_cursor_is_good_for_its_own_list_alone(robot: Program, store: Database) -> None:
    add_domain(store)
    for number in range(3):
        add_account(store, f"user{number}@old.test")
    cursor = robot.get("/accounts", limit=1)["next"]
    assert robot.ask("GET", "/accounts", params={"cursor": cursor, "sort": "percent"}).status_code == 422
    assert robot.ask("GET", "/audit", params={"cursor": cursor}).status_code == 422


def test_what_may_be_done_to_an_account_goes_through_the_roster(
    robot: Program, store: Database, failed: None
) -> None:
    assert robot.post(f"/accounts/{USER}/retry")["phase"] == "PRECOPY"
    assert last_audit(store) == ("api:robot", "account.retry", USER)
    assert robot.post(f"/accounts/{USER}/pause")["paused"]
    assert not robot.post(f"/accounts/{USER}/resume")["paused"]
    log = robot.get(f"/accounts/{USER}/log")["changes"]
    assert next((row["event"], row["from"], row["to"]) for row in log) == ("retried", "BLOCKED", "PRECOPY")
    assert robot.get(f"/accounts/{USER}/skipped") == {"skipped": [], "next": None}
    for refused in ("approve", "reset", "switch", "exclude"):
        answer = robot.ask("POST", f"/accounts/{USER}/{refused}")
        assert problem_of(answer)["status"] == 409, answer.text
        assert USER in answer.json()["detail"]


def test_an_account_is_excluded_before_its_first_login_and_taken_back(
    robot: Program, store: Database, failed: None
) -> None:
    for _ in range(2):
        assert robot.post("/accounts/New@old.test/exclude")["state"] == "not_migrating"
    assert last_audit(store) == ("api:robot", "account.mark-local", "new@old.test")
    assert robot.post("/accounts/new@old.test/reset")["state"] == "not_started"
    assert problem_of(robot.ask("POST", "/accounts/new@nix.test/exclude"))["status"] == 404


def test_an_account_is_switched_with_force_and_the_flip_is_logged(
    robot: Program, store: Database, tmp_path: Path, failed: None
) -> None:
    assert robot.post(f"/accounts/{USER}/switch", {"force": True})["phase"] == "BACKFILL"
    assert USER in (tmp_path / "flips.log").read_text()


@pytest.mark.hazard("T31")
@pytest.mark.parametrize("as_base64", [False, True])
def test_a_password_is_sealed_for_the_copy_and_stands_in_no_answer(
    robot: Program, store: Database, keyring: KeyRing, failed: None, as_base64: bool
) -> None:
    import base64

    typed = canary()
    body = {"password": typed}
    if as_base64:
        body = {"password_base64": base64.b64encode(typed.encode()).decode()}
    answer = robot.ask("POST", f"/accounts/{USER}/password", json=body)
    assert answer.status_code == 200, answer.text
    account = get(store)
    assert account.phase is Phase.PRECOPY
    row = store.read_now("password", lambda conn: passwords.get(conn, account.id))
    assert row.sealed is not None
    assert keyring.unseal(DOMAIN, 1, account.id, Purpose.COPY, row.sealed).reveal() == typed.encode()
    assert not list(search(answer.content + robot.ask("GET", "/audit").content, [typed]))


@pytest.mark.hazard("T31")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"password": ""},
        {"password": "CANARY" + "x" * 250},
        {"password": "é" * 128 + "CANARY"},
        {"password": "CANARY", "password_base64": "Q0FOQVJZ"},
        {"password_base64": "CANARY!!"},
        {"password_base64": "=" * 8},
        {"password": ["CANARY"]},
        {"password": {"CANARY": "CANARY"}},
        {"passwort": "CANARY"},
        {"password": "CANARY\ud800"},
        ["CANARY"],
        "CANARY",
    ],
    ids=lambda body: str(body)[:40],
)
def test_what_can_be_no_password_is_a_problem_that_does_not_repeat_it(
    robot: Program, store: Database, failed: None, body: Any
) -> None:
    import json

    answer = robot.ask(
        "POST",
        f"/accounts/{USER}/password",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert problem_of(answer)["status"] == 422
    assert "CANARY" not in answer.text
    assert get(store).phase is Phase.BLOCKED


@pytest.mark.parametrize(
    "address", ["nobody@old.test", "li@nowhere.test", "li", "a%00@old.test", "li*x@old.test"]
)
def test_an_account_that_is_not_there_is_not_found(robot: Program, failed: None, address: str) -> None:
    for method, rest in (("GET", ""), ("GET", "/log"), ("GET", "/skipped"), ("POST", "/pause")):
        assert problem_of(robot.ask(method, f"/accounts/{address}{rest}"))["status"] == 404


# --- domains


def test_a_domain_has_its_whole_life_over_the_api(robot: Program, store: Database) -> None:
    made = robot.ask("POST", "/domains", json={"name": "New.Test", "source": "imaps://imap.new.test"})
    assert made.status_code == 201
    assert made.json() == domains.show(store, "new.test")
    assert last_audit(store) == ("api:robot", "domain.add", "new.test")
    assert [one["name"] for one in robot.get("/domains")["domains"]] == ["new.test"]
    changed = robot.ask(
        "PATCH", "/domains/new.test", json={"language": "zh", "source_pop3": "pop3s://pop.new.test"}
    )
    assert (changed.json()["language"], changed.json()["source_pop3"]) == ("zh", "pop3s://pop.new.test:995")
    back = robot.ask("PATCH", "/domains/new.test", json={"language": None})
    assert (back.json()["language"], back.json()["source_pop3"]) == ("both", "pop3s://pop.new.test:995")
    assert robot.post("/domains/new.test/pause")["paused"]
    assert not robot.post("/domains/new.test/resume")["paused"]
    before = made.json()["window_ends_at"]
    assert robot.post("/domains/new.test/extend", {"days": 5})["window_ends_at"] > before
    assert robot.post("/domains/new.test/switch") == {"moved": [], "left": [], "next": None}
    assert robot.ask("DELETE", "/domains/new.test").json() == {"accounts": 0}
    assert problem_of(robot.ask("GET", "/domains/new.test"))["status"] == 404


def test_a_domain_whose_accounts_move_is_removed_by_force_alone(
    robot: Program, store: Database, failed: None
) -> None:
    refused = problem_of(robot.ask("DELETE", f"/domains/{DOMAIN}"))
    assert (refused["status"], "1 accounts" in refused["detail"]) == (409, True)
    assert robot.ask("DELETE", f"/domains/{DOMAIN}", params={"force": True}).json() == {"accounts": 1}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"name": "new.test"}, "body.source"),
        ({"name": "new", "source": "imaps://h.test"}, "body.name"),
        ({"name": "new.test", "source": "http://h.test"}, "body.source"),
        ({"name": "new.test", "source": "imaps://user:CANARY@h.test"}, "body.source"),
        ({"name": "new.test", "source": "imaps://h.test", "provider": "nobody"}, "body.provider"),
        ({"name": "new.test", "source": "imaps://h.test", "window_days": 0}, "body.window_days"),
        ({"name": "new.test", "source": "imaps://h.test", "colour": "red"}, "body.colour"),
        ({"name": "new.test", "source": "imap://h.test?tls=none"}, "body.source"),
    ],
    ids=str,
)
def test_a_domain_that_cannot_be_is_told_with_every_fault(
    robot: Program, store: Database, body: dict[str, Any], where: str
) -> None:
    answer = robot.ask("POST", "/domains", json=body)
    said = problem_of(answer)
    assert said["status"] == 422
    assert where in {error["where"] for error in said["errors"]}
    assert "CANARY" not in answer.text
    assert domains.listing(store) == []


def test_a_domain_that_is_there_is_a_conflict(robot: Program, failed: None) -> None:
    answer = robot.ask("POST", "/domains", json={"name": DOMAIN, "source": "imaps://h.test"})
    assert problem_of(answer)["status"] == 409


@pytest.mark.parametrize("name", ["no.test", "%00", "a%01b", "x" * 900])
def test_a_domain_that_is_not_there_is_not_found(robot: Program, failed: None, name: str) -> None:
    assert problem_of(robot.ask("GET", f"/domains/{name}"))["status"] == 404
    assert problem_of(robot.ask("PATCH", f"/domains/{name}", json={"language": "en"}))["status"] == 404
    assert problem_of(robot.ask("POST", f"/domains/{name}/pause"))["status"] == 404


@pytest.mark.hazard("T37")
def test_a_source_in_our_own_network_is_not_dialled_by_being_named(robot: Program) -> None:
    """Names are checked when they are dialled; plaintext beyond loopback is refused at once."""
    answer = robot.ask(
        "POST", "/domains", json={"name": "n.test", "source": "imap://169.254.169.254?tls=none"}
    )
    assert problem_of(answer)["status"] == 422


# --- old hosts


class Servers:
    """Stands for the way to DNS and mail servers; remembers what it was asked."""

    def __init__(self) -> None:
        self.gathered: list[Any] = []
        self.tested: list[Any] = []

    def gather(self, asked: Gathered, servers: Any) -> Deferred[Gathered]:
        self.gathered.append((asked, [server.host for server in servers]))
        return succeed(replace(asked, silent={"DNS": "it does not answer"}))

    def test(self, domain: Any, account: Any, password: Any, *, stored: bool) -> Deferred[Report]:
        self.tested.append((domain.name, account, password, stored))
        lines = [Line(Sign.FAULT, "login", "refused", "ask the user", "请联系用户")]
        return succeed(Report(lines, [Box("Sent", None, None, "role")]))


@dataclass(frozen=True)
class Box:
    source: str
    target: str | None
    role: str | None
    why: str


async def at_once(work: Any) -> Any:
    """Await a Deferred that has fired."""
    result: list[Any] = []
    work().addCallback(result.append)
    return result[0]


def test_an_old_host_is_detected_and_tried_by_the_one_way_to_servers(
    make_desk: MakeDesk, store: Database
) -> None:
    servers = Servers()
    hosts = OldHosts(servers.gather, servers.test, servers.gather, servers.gather)
    robot = Program(make_site(make_desk(old_hosts=hosts, on_reactor=at_once), doors=()), make_token(store))
    found = robot.post(
        "/detect", {"name": "New.test", "mx": ["mx.new.test"], "sources": ["imaps://imap.new.test"]}
    )
    asked, dialled = servers.gathered[0]
    assert (asked.domain, asked.recorded_mx, asked.hosts) == (
        "new.test",
        ("mx.new.test",),
        ("imap.new.test",),
    )
    assert dialled == ["imap.new.test"]
    assert (found["provider"], found["decided"]) == ("generic", False)
    assert found["silent"] == {"DNS": "it does not answer"}
    shapes.Detected.model_validate(found)
    add_domain(store)
    robot.post("/detect", {"name": DOMAIN})
    assert servers.gathered[1][1] == ["imap.old.test"]
    typed = canary()
    answer = robot.ask(
        "POST", f"/domains/{DOMAIN}/test", json={"login": {"address": USER, "password": typed}}
    )
    assert (answer.status_code, answer.json()["well"]) == (200, False)
    assert servers.tested == [(DOMAIN, USER, Secret(typed.encode()), True)]
    assert answer.json()["lines"][0]["fix"] == {"en": "ask the user", "zh": "请联系用户"}
    assert answer.json()["mailboxes"] == [{"source": "Sent", "target": None, "role": None, "why": "role"}]
    assert not list(search(answer.content, [typed]))
    assert robot.post(f"/domains/{DOMAIN}/test")["well"] is False
    for wrong in (
        {"name": ""},
        {"name": "x y"},
        {"name": "x.test", "sources": ["http://h"]},
        {"name": "x.test", "mx": ["a b"]},
    ):
        assert problem_of(robot.ask("POST", "/detect", json=wrong))["status"] == 422


# --- files


def test_accounts_come_from_a_file_or_not_at_all(robot: Program, store: Database) -> None:
    add_domain(store)
    secret = canary()
    file = f'target,password\nli@old.test,"{secret.replace(chr(34), chr(34) * 2)}"\nwang@old.test,\n'.encode()
    tried = robot.post("/import", params={"dry_run": True}, content=file)
    assert (tried["rows"], tried["added"], tried["passwords"], tried["dry_run"]) == (2, 2, 1, True)
    assert robot.get("/accounts")["matching"] == 0
    answer = robot.ask("POST", "/import", content=file)
    assert (answer.status_code, answer.json()["added"]) == (200, 2)
    assert last_audit(store) == ("api:robot", "account.import", "file")
    assert not list(search(answer.content, [secret]))
    bad = robot.ask("POST", "/import", content=b"target\nchen@old.test\nzhao@nowhere.test\nx\n")
    said = problem_of(bad)
    assert (said["status"], [error["where"] for error in said["errors"]]) == (
        422,
        ["line 3.target", "line 4.target"],
    )
    assert robot.get("/accounts")["matching"] == 2


def test_a_file_may_be_longer_than_other_requests(robot: Program, store: Database) -> None:
    add_domain(store)
    file = "target\n" + "".join(f"someone-with-a-long-name-{number:06}@old.test\n" for number in range(1800))
    assert len(file) > BODY_OCTETS
    answer = robot.ask("POST", "/import", params={"dry_run": True}, content=file.encode())
    assert (answer.status_code, answer.json()["added"]) == (200, 1800)


@pytest.mark.hazard("T31")
def test_a_file_without_a_header_is_told_without_its_first_line(robot: Program) -> None:
    answer = robot.ask("POST", "/import", content=b"li@old.test,,CANARY\n")
    assert problem_of(answer)["status"] == 422
    assert "CANARY" not in answer.text


def test_accounts_go_to_a_file(robot: Program, store: Database, failed: None) -> None:
    add_domain(store, "other.test")
    add_account(store, "zhao@other.test")
    answer = robot.ask("GET", "/export", params={"domain": "old.test"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="accounts.csv"'
    assert answer.content == export_accounts(store, accounts.wanted(domain="old.test"))
    assert robot.ask("GET", "/export").content.count(b"\r\n") == 3
    assert problem_of(robot.ask("GET", "/export", params={"domain": "no.test"}))["status"] == 404


# --- the whole


def test_the_overview_the_samples_and_the_log_are_the_rosters(
    robot: Program, store: Database, failed: None
) -> None:
    whole = robot.get("/overview")
    assert {**overview.overview(store), "at": None} == {**whole, "at": None}
    assert robot.get("/overview", domain=DOMAIN)["accounts"]["failed"] == 1
    assert robot.get("/samples", hours=2) == {"samples": overview.series(store, hours=2)}
    assert problem_of(robot.ask("GET", "/overview", params={"domain": "no.test"}))["status"] == 404
    assert robot.get("/processes") == {"processes": []}
    for action in ("pause", "resume"):
        robot.post(f"/accounts/{USER}/{action}")
    first = robot.get("/audit", limit=1)
    second = robot.get("/audit", limit=1, cursor=first["next"])
    assert [page["rows"][0]["what"] for page in (first, second)] == ["account.resume", "account.pause"]
    assert {row["subject"] for row in robot.get("/audit", subject=USER)["rows"]} == {USER}


# --- faults


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/", 404),
        ("GET", "/domains/", 404),
        ("PUT", "/domains", 405),
        ("DELETE", "/accounts/li@old.test", 405),
        ("OPTIONS", "/accounts", 405),
        ("POST", "/openapi.json", 405),
    ],
)
def test_what_is_not_there_is_a_problem_too(robot: Program, method: str, path: str, status: int) -> None:
    answer = robot.ask(method, path)
    assert problem_of(answer)["status"] == status
    assert "access-control-allow-origin" not in answer.headers
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.hazard("T40")
def test_what_is_too_long_is_not_read_on(robot: Program, site: FastAPI) -> None:
    def endless() -> Any:
        while True:
            yield b"x" * 8192

    async def stream() -> Any:
        for chunk in endless():
            yield chunk

    for path, where in (("/domains", robot), ("/accounts/li@old.test/password", Program(site, None))):
        assert problem_of(where.ask("POST", path, content=stream()))["status"] == 413
    longest = b" " * (BODY_OCTETS - 2) + b"{}"
    for content, status in ((longest, 422), (b" " + longest, 413)):
        answer = robot.ask("POST", "/domains", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == status


@pytest.mark.hazard("T40")
def test_a_file_that_is_too_long_is_not_kept(robot: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailferry.web.api.files.UPLOAD_OCTETS", 1000)
    assert problem_of(robot.ask("POST", "/import", content=b"x" * 1001))["status"] == 413


@pytest.mark.parametrize(
    "content", [b"{", b"[" * 60_000, b"\xff\xfe", b'{"days": ' + b"9" * 5000 + b"}"], ids=lambda c: str(c[:8])
)
def test_a_body_that_is_no_json_is_a_problem(robot: Program, failed: None, content: bytes) -> None:
    answer = robot.ask(
        "POST", f"/domains/{DOMAIN}/extend", content=content, headers={"content-type": "application/json"}
    )
    assert problem_of(answer)["status"] in {400, 422}


def test_a_store_that_cannot_be_asked_is_a_problem_that_says_when_to_ask_again(
    make_desk: MakeDesk, tmp_path: Path
) -> None:
    from mailferry.store.database import Database as AnyDatabase

    gone = AnyDatabase(f"sqlite:///{tmp_path}/nowhere/mailferry.db")
    program = Program(make_site(make_desk(database=gone), doors=()), "mailferry_" + "A" * 43)
    for _ in range(25):
        answer = program.ask("GET", "/domains")
        assert problem_of(answer)["status"] == 503, "an outage counts as no wrong token"
    assert answer.headers["retry-after"] == "5"
    assert "nowhere" not in answer.text


class Told:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def error(self, line: str, **facts: Any) -> None:
        self.lines.append((line, facts))


@pytest.mark.hazard("T40")
def test_a_fault_of_ours_is_a_problem_without_its_insides(
    make_desk: MakeDesk, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("canary-secret")

    log = Told()
    robot = Program(make_site(make_desk(log=log), doors=()), make_token(store))
    monkeypatch.setattr("mailferry.roster.overview.overview", broken)
    answer = robot.ask("GET", "/overview")
    assert problem_of(answer)["status"] == 500
    assert "canary" not in answer.text
    assert [line for line, _ in log.lines] == ["the api broke"]


def test_causes_and_states_of_the_description_are_the_programs(robot: Program) -> None:
    described = robot.get("/openapi.json")["components"]["schemas"]
    assert set(described["Cause"]["enum"]) == {cause.value for cause in Cause}
