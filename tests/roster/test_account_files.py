"""Import and export: whole or not at all, safe to repeat, passwords sealed and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.model.access import Secret
from mailferry.model.account import Event, Phase
from mailferry.passwords.sealing import Purpose
from mailferry.roster import account_files, accounts, domains
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import accounts as rows
from mailferry.store import domains as domain_rows
from mailferry.store import passwords
from mailferry.store.database import Database
from tests.roster.rows import WHO, audited, ring, with_domain
from tests.store.rows import apply, idle, precopy


def run(store: Database, tmp_path: Path, text: str, **more) -> account_files.ImportReport:
    return account_files.import_accounts(store, ring(tmp_path), text.encode(), who=WHO, **more)


def test_rows_become_accounts_and_those_with_a_password_are_due(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    text = "搬家帐号,待搬家帐号,待搬家帐号密码\nA@a.test,old-a@old.test,pässword\nb@a.test,,\n"
    report = run(store, tmp_path, text)
    assert (report.rows, report.added, report.passwords, report.faults) == (2, 2, 1, ())
    a, b = (accounts.find(store, f"{name}@a.test") for name in "ab")
    assert (a.source_login, b.source_login) == ("old-a@old.test", None)
    assert (a.phase, b.phase) == (Phase.IDLE, Phase.IDLE)
    assert a.next_due_at is not None
    assert b.next_due_at is None
    record = store.read_now("get", lambda conn: passwords.get(conn, a.id))
    assert record.sealed is not None
    assert ring(tmp_path).unseal("a.test", 1, a.id, Purpose.COPY, record.sealed) == Secret(
        "pässword".encode()
    )
    assert audited(store) == [(WHO, "account.import", "file")]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_domain_that_moves_listed_accounts_alone_tells_how_many(
    store: Database, tmp_path: Path, dry_run: bool
) -> None:
    with_domain(store)
    with_domain(store, "b.test")
    precopy(store, "there@a.test")
    idle(store, "c@a.test")
    store.run_now("rule", lambda conn: domain_rows.set_rules(conn, "a.test", only_listed=True))
    report = run(store, tmp_path, "target\na@a.test\nb@a.test\nc@a.test\nz@b.test\n", dry_run=dry_run)
    assert report.only_listed == (account_files.ListedDomain("a.test", listed=3, others=1),)
    assert accounts.show(store, "nobody@a.test")["state"] == "not_migrating"
    with pytest.raises(RosterRefusal):
        accounts.show(store, "nobody@b.test")


def test_a_second_run_adds_nothing(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    text = "target,source\na@a.test,x@old.test\n"
    run(store, tmp_path, text)
    before = accounts.find(store, "a@a.test")
    report = run(store, tmp_path, text)
    assert (report.added, report.passwords) == (0, 0)
    assert accounts.find(store, "a@a.test") == before
    assert run(store, tmp_path, "target,source\na@a.test,y@old.test\n").added == 0
    assert accounts.find(store, "a@a.test").source_login == "y@old.test"


def test_every_fault_is_told_with_its_line_and_nothing_is_done(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    store.run_now("over", lambda conn: domain_rows.add(conn, "over.test", source_imap="imaps://x", now=0.0))
    text = "target,password\nok@a.test,\nu@nowhere.test,\nb ad@a.test,\nu@over.test,secret\nv@over.test,\n"
    report = run(store, tmp_path, text)
    assert [fault.line for fault in report.faults] == [3, 4, 5]
    assert "there is no domain nowhere.test" in str(report.faults[0])
    assert "the window of over.test is over" in str(report.faults[2])
    assert list(accounts.every(store)) == []
    assert audited(store) == []


def test_a_dry_run_only_says_what_would_be_done(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    idle(store, "there@a.test")
    text = "target,password\nnew@a.test,x\nthere@a.test,y\n"
    report = run(store, tmp_path, text, dry_run=True)
    assert (report.rows, report.added, report.passwords) == (2, 1, 2)
    assert [one["address"] for one in accounts.every(store)] == ["there@a.test"]
    assert not (tmp_path / "keys").exists()
    assert audited(store) == []


def test_accounts_that_need_no_password_any_more_are_left_alone(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    moved = apply(store, precopy(store, "moved@a.test"), Event.EARLY_SWITCH)
    done = apply(store, moved, Event.HISTORY_COMPLETE)
    blocked = apply(store, precopy(store, "blocked@a.test"), Event.GAVE_UP)
    report = run(store, tmp_path, "target,password\nmoved@a.test,x\nblocked@a.test,y\n")
    assert report.left_alone == ("moved@a.test",)
    assert report.passwords == 1
    assert store.read_now("get", lambda conn: passwords.get(conn, done.id)).sealed is None
    assert store.read_now("get", lambda conn: passwords.get(conn, blocked.id)).sealed is not None


def test_a_long_file_is_taken_in(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    text = "target\n" + "".join(f"u{number}@a.test\n" for number in range(450))
    assert run(store, tmp_path, text).added == 450
    assert domains.show(store, "a.test")["accounts"]["not_started"] == 450


@pytest.mark.hazard("T27")
def test_an_export_has_states_and_no_passwords_and_no_formulas(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    run(store, tmp_path, "target,password\n+cmd@a.test,hunter2\n")
    account = precopy(store)
    store.run_now("note", lambda conn: rows.note(conn, account.id, total=10, copied=5))
    lines = account_files.export_accounts(store).decode("utf-8-sig").splitlines()
    assert lines[0].startswith("target,domain,state,phase,percent,total,copied,remaining,skipped,")
    assert lines[1].startswith("'+cmd@a.test,a.test,not_started,IDLE,0.0,")
    assert lines[2].startswith("user@a.test,a.test,in_progress,PRECOPY,50.0,10,5,5,0,")
    assert "hunter2" not in "".join(lines)
    only = accounts.wanted(state="in_progress")
    assert len(account_files.export_accounts(store, only).decode().splitlines()) == 2
