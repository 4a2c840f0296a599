"""`mailferry domain`: the domains that move, from the first word to the last."""

from __future__ import annotations

import pytest

from mailferry.model.account import Phase
from tests.cli.place import DOMAIN, NOWHERE, Place, address

NO_DOMAIN = "there is no domain nix.test; add it with domain add"


def test_a_domain_is_added_shown_listed_changed_and_removed(bare: Place) -> None:
    added = bare.well("domain", "add", "Firm.Example.", "--source", NOWHERE)  # makes the database by itself
    assert "window_open          yes" in added.out
    assert bare.fails("domain", "add", "firm.example", "--source", NOWHERE) == (
        "domain firm.example is there already; change it with domain set"
    )
    words = ("--source-pop3", "pop3s://pop.old.example", "--language", "zh", "--switch", "at-once")
    bare.well(
        "domain", "set", "firm.example", *words, "--login-form", "CORP\\{local}", "--provider", "dovecot"
    )
    shown = bare.well("domain", "show", "firm.example", "--json").json
    assert shown["source"] == NOWHERE
    assert shown["source_pop3"] == "pop3s://pop.old.example:995"
    assert (shown["language"], shown["switch"]) == ("zh", "at-once")
    assert (shown["login_form"], shown["provider"]) == ("CORP\\{local}", "dovecot")
    assert shown["window_days"] == 30
    assert bare.well("domain", "list", "--json").json == [shown]
    assert "firm.example" in bare.well("domain", "list").out
    assert "firm.example and 0 accounts are removed" in bare.well("domain", "remove", "firm.example").out
    assert bare.well("domain", "list", "--json").json == []
    assert "FAULT" not in bare.run("db", "status").out


def test_whoever_adds_a_domain_that_no_password_opens_is_told_so_and_what_to_do(empty: Place) -> None:
    words = ("cloud.example", "--source", NOWHERE, "--provider", "m365")
    added = empty.run("domain", "add", *words)
    assert added.status == 0
    assert "Microsoft 365 cannot be moved by the users' passwords" in added.err
    assert "Use Microsoft's own export" in added.err
    assert "无法凭用户密码" in added.err
    empty.well("domain", "set", "cloud.example", "--provider", "dovecot")
    assert "OAuth" in empty.run("domain", "set", "cloud.example", "--provider", "m365").err


def test_all_faults_of_a_domain_are_told_at_once_and_nothing_is_added(empty: Place) -> None:
    said = empty.run(
        "domain", "add", "firm", "--source", "gopher://x", "--window-days", "0",
        "--switch", "soon", "--language", "fr", "--login-form", "{user}",
    )  # fmt: skip
    assert said.status == 2
    assert [fault.split(": ")[1] for fault in said.faults] == [
        "name", "source", "window_days", "login_form", "switch", "language",
    ]  # fmt: skip
    for words in (
        ("--source", "imap://old.example?tls=none"),
        ("--source", "imaps://old.example", "--provider", "nobody"),
        ("--source", "imaps://old.example", "--target", "imap://new.example?tls=none"),
        ("--source", "imaps://me@old.example"),
    ):
        assert empty.run("domain", "add", "firm.example", *words).status == 2
    assert empty.well("domain", "list", "--json").json == []


def test_a_change_that_makes_no_sense_changes_nothing(filled: Place) -> None:
    before = filled.well("domain", "show", DOMAIN, "--json").json
    assert "nothing to change was given" in filled.fails("domain", "set", DOMAIN, status=2)
    assert "known are" in filled.fails("domain", "set", DOMAIN, "--provider", "nobody", status=2)
    fault = filled.fails("domain", "set", DOMAIN, "--source", "imap://old.example?tls=none", status=2)
    assert "accept_plaintext" in fault
    assert filled.well("domain", "show", DOMAIN, "--json").json == before


@pytest.mark.parametrize(
    "words",
    [
        ("show", "nix.test"),
        ("show", "nix.test", "--json"),
        ("set", "nix.test", "--language", "en"),
        ("pause", "nix.test"),
        ("resume", "nix.test"),
        ("extend", "nix.test"),
        ("switch", "nix.test"),
        ("remove", "nix.test"),
        ("test", "nix.test"),
    ],
    ids=" ".join,
)
def test_a_domain_that_does_not_exist_is_named(filled: Place, words: tuple[str, ...]) -> None:
    assert filled.fails("domain", *words) == NO_DOMAIN


def test_pause_resume_and_extend_say_what_follows(filled: Place) -> None:
    assert filled.well("domain", "pause", DOMAIN).out.startswith(DOMAIN)
    assert filled.well("domain", "show", DOMAIN, "--json").json["paused"] is True
    assert "paused" in filled.well("domain", "list").out
    assert filled.well("domain", "resume", DOMAIN).out.startswith(DOMAIN)
    shown = filled.well("domain", "show", DOMAIN, "--json").json
    assert shown["paused"] is False
    assert "the window ends" in filled.well("domain", "extend", DOMAIN, "--days", "5").out
    later = filled.well("domain", "show", DOMAIN, "--json").json["window_ends_at"]
    assert later > shown["window_ends_at"]


def test_a_domain_with_accounts_is_removed_only_by_force(filled: Place) -> None:
    assert "Force it" in filled.fails("domain", "remove", DOMAIN)
    assert filled.well("account", "show", address(Phase.PRECOPY), "--json").json["domain"] == DOMAIN
    assert "9 accounts are removed" in filled.well("domain", "remove", DOMAIN, "--force").out
    assert filled.well("account", "list", "--json").json == []


def test_switching_a_domain_names_the_accounts_that_cannot_go(filled: Place) -> None:
    said = filled.well("domain", "switch", DOMAIN)
    assert said.out.startswith("0 accounts live on the target now")
    for phase in (Phase.PRECOPY, Phase.BLOCKED):
        assert f"{address(phase)} stays: " in said.out
    assert filled.well("account", "show", address(Phase.PRECOPY), "--json").json["phase"] == "PRECOPY"


def test_domains_as_code_are_applied_once_and_all_or_none(bare: Place) -> None:
    file = bare.folder / "domains.toml"
    file.write_text(
        '[[domain]]\nname = "a.example"\nsource = "imaps://old.example"\n'
        '[[domain]]\nname = "b.example"\nsource = "pop3s://old.example"\nprovider = "dovecot"\n'
    )
    assert bare.well("domain", "apply", file).out == "a.example: added\nb.example: added\n"
    assert bare.well("domain", "apply", file).out == "a.example: unchanged\nb.example: unchanged\n"
    file.write_text(file.read_text().replace("dovecot", "generic"))
    assert bare.well("domain", "apply", file).out == "a.example: unchanged\nb.example: changed (provider)\n"
    before = bare.well("domain", "list", "--json").json
    file.write_text(
        file.read_text().replace('"imaps', '"imap').replace("provider", "povider") + "window_days = 0"
    )
    said = bare.run("domain", "apply", file)
    assert said.status == 2
    assert all(str(file) in fault for fault in said.faults)
    assert any("povider" in fault and "provider" in fault for fault in said.faults)
    assert bare.well("domain", "list", "--json").json == before
    assert "No such file" in bare.fails("domain", "apply", bare.folder / "nix.toml", status=2)
