"""Domains: added, shown, changed, paused, extended, applied from files, removed; each with its audit row."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.config.domains import DomainEntry
from mailferry.config.faults import BadConfiguration
from mailferry.model.access import Secret
from mailferry.model.account import Event
from mailferry.model.server_url import parse_server_url
from mailferry.passwords.sealing import KeyDestroyed, Purpose
from mailferry.roster import domains, overview
from mailferry.roster.domains import Applied
from mailferry.roster.lookup import NoSuchDomain
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.server_words import words_of
from mailferry.store import domains as rows
from mailferry.store.database import Database
from tests.roster.rows import WHO, audited, entry, ring, with_domain
from tests.store.rows import apply, idle, precopy


@pytest.mark.parametrize(
    "url",
    [
        "imaps://old.test:993",
        "imap://old.test:143",
        "pop3://127.0.0.1:10110?tls=none",
        "imaps://[::1]:993",
        "pop3s://old.test:995?ca=/etc/ssl/old ca.pem&name=mail.old.test&legacy_tls=yes",
        f"imaps://old.test:1993?pin=sha256:{'ab' * 32}",
    ],
)
def test_an_address_is_kept_with_all_its_options(url: str) -> None:
    server = parse_server_url(url)
    assert parse_server_url(words_of(server)) == server


def test_a_domain_is_added_once_and_shown_with_its_window_and_counts(store: Database) -> None:
    shown = domains.add(
        store, entry(source_pop3="pop3s://old.test", provider="netease_qiye", window_days=10), who=WHO
    )
    assert shown["source"] == "imaps://old.test:993"
    assert shown["source_pop3"] == "pop3s://old.test:995"
    assert (shown["provider"], shown["window_days"], shown["window_open"], shown["paused"]) == (
        "netease_qiye",
        10,
        True,
        False,
    )
    precopy(store)
    idle(store, "later@a.test")
    assert domains.show(store, " A.Test. ")["accounts"] == {
        "not_started": 1,
        "in_progress": 1,
        "done": 0,
        "failed": 0,
        "not_migrating": 0,
    }
    assert domains.show(store, "a.test")["never_verified"] == 2
    with pytest.raises(RosterRefusal, match="is there already; change it with domain set"):
        domains.add(store, entry(), who=WHO)
    with pytest.raises(NoSuchDomain, match=r"there is no domain b\.test; add it"):
        domains.show(store, "b.test")
    assert [domain["name"] for domain in domains.listing(store)] == ["a.test"]
    assert len(overview.audit_log(store, subject="a.test")) == 1


def test_a_change_keeps_the_rest_and_is_checked_as_a_whole(store: Database) -> None:
    with_domain(store, source_pop3="pop3s://old.test", login_form="local")
    changed = domains.change(store, "a.test", {"language": "zh", "source": "imaps://new-old.test"}, who=WHO)
    assert (changed["language"], changed["source"], changed["source_pop3"], changed["login_form"]) == (
        "zh",
        "imaps://new-old.test:993",
        "pop3s://old.test:995",
        "local",
    )
    assert domains.change(store, "a.test", {"source_pop3": None}, who=WHO)["source_pop3"] is None
    with pytest.raises(BadConfiguration, match="in clear"):
        domains.change(store, "a.test", {"source": "imap://old.test?tls=none"}, who=WHO)
    with pytest.raises(BadConfiguration) as told:
        domains.change(store, "a.test", {"switch": "never", "language": "fr"}, who=WHO)
    assert len(told.value.faults) == 2
    with pytest.raises(RosterRefusal, match="changed by domain extend"):
        domains.change(store, "a.test", {"window_days": 5}, who=WHO)
    domains.change(store, "a.test", {"language": "zh"}, who=WHO)
    assert audited(store) == [(WHO, "domain.set", "a.test")] * 2


def test_a_pop3_only_source_stays_one_through_a_change(store: Database) -> None:
    domains.add(store, entry(source="pop3s://old.test"), who=WHO)
    changed = domains.change(store, "a.test", {"switch": "at-once"}, who=WHO)
    assert (changed["source"], changed["source_pop3"]) == ("pop3s://old.test:995", None)
    stored = domains.find(store, "a.test")
    assert (stored.source_imap, stored.source_pop3) == (None, "pop3s://old.test:995")


def test_a_domain_is_paused_and_goes_on(store: Database) -> None:
    with_domain(store)
    domains.pause(store, "a.test", who=WHO)
    assert domains.show(store, "a.test")["paused"]
    domains.pause(store, "a.test", who=WHO, paused=False)
    assert not domains.show(store, "a.test")["paused"]
    assert audited(store) == [(WHO, "domain.pause", "a.test"), (WHO, "domain.resume", "a.test")]


def test_a_window_is_extended_by_sensible_days_only(store: Database) -> None:
    with_domain(store, window_days=1)
    before = domains.find(store, "a.test").window_ends_at
    domains.extend(store, "a.test", 5, who=WHO)
    assert domains.find(store, "a.test").window_ends_at == before + 5 * 86400
    for days in (0, -1, 4000):
        with pytest.raises(RosterRefusal, match="1 to 3650 days"):
            domains.extend(store, "a.test", days, who=WHO)


def test_a_file_of_domains_is_applied_as_a_whole_and_again_changes_nothing(store: Database) -> None:
    with_domain(store, "b.test")
    with_domain(store, "other.test")
    wanted: list[DomainEntry] = [entry("a.test"), entry("b.test", language="en", window_days=7)]
    assert domains.apply(store, wanted, who=WHO) == [
        Applied("a.test", "added"),
        Applied("b.test", "changed", ("language", "window_days")),
    ]
    assert domains.apply(store, wanted, who=WHO) == [
        Applied("a.test", "unchanged"),
        Applied("b.test", "unchanged"),
    ]
    b = domains.find(store, "b.test")
    assert b.window_ends_at == b.window_opened_at + 7 * 86400
    assert [domain["name"] for domain in domains.listing(store)] == ["a.test", "b.test", "other.test"]


def test_a_domain_whose_accounts_move_is_removed_only_by_force_and_its_keys_end(
    store: Database, tmp_path: Path
) -> None:
    with_domain(store)
    keyring = ring(tmp_path)
    sealed = keyring.seal("a.test", 1, 7, Purpose.COPY, Secret(b"old"))
    apply(store, precopy(store), Event.GAVE_UP)
    idle(store, "later@a.test")
    with pytest.raises(RosterRefusal, match=r"1 accounts of a\.test have begun to move"):
        domains.remove(store, keyring, "a.test", who=WHO)
    assert domains.remove(store, keyring, "a.test", who=WHO, force=True) == 2
    assert domains.listing(store) == []
    with pytest.raises(KeyDestroyed):
        keyring.unseal("a.test", 1, 7, Purpose.COPY, sealed)
    with_domain(store)
    again = store.read_now("domain", lambda conn: rows.get(conn, "a.test"))
    keyring.seal("a.test", again.window_number, 7, Purpose.COPY, Secret(b"new"))
