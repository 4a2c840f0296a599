"""Who may see and change what; and sign-ins carry it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.model.access import Secret
from mailferry.roster import accounts, domains, overview, sign_ins
from mailferry.roster.lookup import NoSuchAccount, NoSuchDomain
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import AdminRole, Forbidden, Rights
from mailferry.store import accounts as account_rows
from mailferry.store import audit, samples
from mailferry.store import sign_ins as rows
from mailferry.store.account_listing import AccountFilter
from mailferry.store.database import Database
from tests.roster.rows import WHO, ring, with_domain

PASSWORD = Secret(b"a good password")
A = frozenset({"a.test"})


def rights(role: AdminRole, of: frozenset[str] | None = None) -> Rights:
    return Rights("anna", "console:anna", role, of)


@pytest.mark.parametrize(
    ("who", "read_a", "read_b", "change_a", "change_b", "own"),
    [
        (rights(AdminRole.OWNER), True, True, True, True, True),
        (rights(AdminRole.DOMAIN_ADMIN, A), True, False, True, False, False),
        (rights(AdminRole.READER), True, True, False, False, False),
        (rights(AdminRole.DOMAIN_READER, A), True, False, False, False, False),
        (rights(AdminRole.DOMAIN_READER, frozenset()), False, False, False, False, False),
    ],
    ids=lambda value: value.role.value if isinstance(value, Rights) else None,
)
def test_a_role_and_its_domains_say_what_may_be_done(
    who: Rights, read_a: bool, read_b: bool, change_a: bool, change_b: bool, own: bool
) -> None:
    assert (who.may_read("a.test"), who.may_read("B.test.")) == (read_a, read_b)
    assert (who.may_change(" A.TEST"), who.may_change("b.test")) == (change_a, change_b)
    assert who.may_own() is own


@pytest.mark.hazard("T38")
def test_what_is_somebody_elses_reads_as_what_is_not_there(store: Database) -> None:
    with_domain(store, "a.test")
    with_domain(store, "b.test")
    who = rights(AdminRole.DOMAIN_ADMIN, A)
    with pytest.raises(NoSuchDomain) as hidden:
        who.need_change("b.test")
    with pytest.raises(NoSuchDomain) as missing:
        domains.show(store, "c.test")
    assert str(hidden.value) == str(missing.value).replace("c.test", "b.test")
    with pytest.raises(NoSuchAccount) as hidden_account:
        who.need_change_account("Li@B.test")
    with pytest.raises(NoSuchAccount) as missing_account:
        accounts.find(store, "li@a.test")
    assert str(hidden_account.value) == str(missing_account.value).replace("a.test", "b.test")


def test_who_sees_and_may_not_change_is_told_so() -> None:
    reader = rights(AdminRole.READER)
    reader.need_read("a.test")
    reader.need_read_account("li@a.test")
    for refused in (
        lambda: reader.need_change("a.test"),
        lambda: reader.need_change_account("li@a.test"),
        lambda: rights(AdminRole.DOMAIN_ADMIN, A).need_own(),
    ):
        with pytest.raises(Forbidden, match="ask an owner"):
            refused()


@pytest.mark.hazard("T38")
def test_lists_and_sums_hold_the_askers_domains_alone(store: Database) -> None:
    for name in ("a.test", "b.test"):
        with_domain(store, name)
        store.run_now("account", lambda conn, name=name: account_rows.ensure(conn, f"li@{name}", name))
        store.run_now("sample", lambda conn, name=name: samples.add(conn, name, messages=7))
        store.run_now(
            "audit", lambda conn, name=name: audit.write(conn, who=WHO, what="x", subject=f"li@{name}")
        )
    store.run_now("audit", lambda conn: audit.write(conn, who=WHO, what="x", subject="li@xa.test"))
    page = accounts.page(store, accounts.wanted(within=A))
    assert ([one["address"] for one in page.accounts], page.matching) == (["li@a.test"], 1)
    assert [one["address"] for one in accounts.every(store, AccountFilter(within=A))] == ["li@a.test"]
    assert accounts.page(store, accounts.wanted(within=frozenset())).accounts == []
    with pytest.raises(NoSuchDomain):
        accounts.page(store, accounts.wanted(domain="b.test", within=A))
    assert [one["name"] for one in domains.listing(store, within=A)] == ["a.test"]
    whole = overview.overview(store, within=A)
    assert (sum(whole["accounts"].values()), whole["messages_per_second"]) == (1, 0.01)
    assert sum(point["messages"] for point in overview.series(store, within=A)) == 7
    subjects = {row["subject"] for row in overview.audit_log(store, within=A)}
    assert subjects == {"a.test", "li@a.test"}
    assert overview.audit_log(store, within=frozenset()) == []


def stored(store: Database, name: str = "anna") -> Rights:
    found = store.read_now("sign-in", lambda conn: rows.find(conn, name))
    assert found is not None
    return sign_ins.rights_of(found)


@pytest.mark.parametrize(
    ("role", "named", "expected", "of"),
    [
        (None, (), AdminRole.OWNER, None),
        (AdminRole.OWNER, (), AdminRole.OWNER, None),
        (AdminRole.READER, (), AdminRole.READER, None),
        (AdminRole.READER, ("A.test",), AdminRole.DOMAIN_READER, A),
        (AdminRole.DOMAIN_ADMIN, ("a.test", "b.test"), AdminRole.DOMAIN_ADMIN, A | {"b.test"}),
    ],
)
def test_a_sign_in_has_a_role_and_its_domains(store: Database, role, named, expected, of) -> None:
    with_domain(store, "a.test")
    with_domain(store, "b.test")
    sign_ins.add(store, "anna", PASSWORD, who=WHO, role=role, domains=named)
    assert stored(store) == Rights("anna", "console:anna", expected, of)
    listed = sign_ins.listing(store)[0]
    assert (listed["role"], listed["domains"]) == (expected.value, None if of is None else sorted(of))


@pytest.mark.hazard("T38")
def test_another_password_leaves_the_rights_as_they_are(store: Database) -> None:
    with_domain(store)
    sign_ins.add(store, "anna", PASSWORD, who=WHO, role=AdminRole.READER, domains=["a.test"])
    sign_ins.add(store, "anna", Secret(b"another password"), who=WHO)
    assert stored(store).role is AdminRole.DOMAIN_READER
    assert stored(store).domains == A
    sign_ins.add(store, "anna", PASSWORD, who=WHO, role=AdminRole.OWNER)
    assert stored(store).domains is None


@pytest.mark.hazard("T38")
def test_who_loses_the_last_domain_sees_nothing_and_not_everything(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    sign_ins.add(store, "anna", PASSWORD, who=WHO, role=AdminRole.READER, domains=["a.test"])
    domains.remove(store, ring(tmp_path), "a.test", who=WHO)
    assert stored(store).domains == frozenset()


@pytest.mark.parametrize(
    ("role", "named"),
    [
        (AdminRole.DOMAIN_ADMIN, ()),
        (AdminRole.OWNER, ("a.test",)),
        (None, ("a.test",)),
        (AdminRole.READER, ("nowhere.test",)),
    ],
)
def test_a_role_without_its_domains_is_refused(store: Database, role, named) -> None:
    with_domain(store)
    with pytest.raises(RosterRefusal):
        sign_ins.add(store, "anna", PASSWORD, who=WHO, role=role, domains=named)
    assert sign_ins.listing(store) == []
