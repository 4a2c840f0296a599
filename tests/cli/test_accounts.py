"""`mailferry account`: where each account stands, and what an operator may do in which phase."""

from __future__ import annotations

import pytest

from mailferry.model.account import Phase, state_of
from tests.cli.place import DOMAIN, Place, address

NOBODY = "there is no account nix@old.test yet; it appears with its first login, or by account import"
ADDRESSED = (
    "show", "log", "skipped", "retry", "approve", "pause", "resume", "reset", "switch", "password", "verify",
)  # fmt: skip
WORKS_IN: dict[str, set[Phase]] = {
    "retry": {Phase.PRECOPY, Phase.FREEZE, Phase.BACKFILL, Phase.BLOCKED, Phase.STALLED, Phase.SWITCHED},
    "approve": set(),
    "pause": set(Phase),
    "resume": set(Phase),
    "reset": {Phase.LOCAL},
    "exclude": {Phase.IDLE, Phase.LOCAL},
    "switch": set(),  # no password was set at the target for any of them
    "password": {Phase.IDLE, Phase.PRECOPY, Phase.BACKFILL, Phase.BLOCKED, Phase.STALLED},
}


def test_a_list_holds_each_account_with_its_state(filled: Place) -> None:
    found = filled.well("account", "list", "--json").json
    assert {one["address"]: one["state"] for one in found} == {
        address(phase): state_of(phase).value for phase in Phase
    }
    table = filled.well("account", "list").out.splitlines()
    assert table[0].split() == ["address", "state", "phase", "copied", "left", "skipped", "cause"]
    assert [line.split()[0] for line in table[1:]] == sorted(address(phase) for phase in Phase)


@pytest.mark.parametrize(
    ("words", "phases"),
    [
        (("--state", "failed"), {Phase.BLOCKED, Phase.STALLED}),
        (("--state", "done"), {Phase.SWITCHED, Phase.CLOSED}),
        (("--cause", "account_locked"), {Phase.BLOCKED, Phase.STALLED}),
        (("--search", "clo"), {Phase.CLOSED}),
        (("--search", "%"), set()),
        (("--domain", "OLD.test."), set(Phase)),
    ],
    ids=["failed", "done", "cause", "search", "percent sign", "domain"],
)
def test_a_list_is_narrowed(filled: Place, words: tuple[str, ...], phases: set[Phase]) -> None:
    found = filled.well("account", "list", *words, "--json").json
    assert {one["address"] for one in found} == {address(phase) for phase in phases}


def test_words_that_no_list_knows_are_wrong_use(filled: Place) -> None:
    assert "known are not_started, in_progress" in filled.fails("account", "list", "--state", "x", status=2)
    assert "known are bad_credentials" in filled.fails("account", "list", "--cause", "x", status=2)
    assert "there is no domain nix.test" in filled.fails("account", "list", "--domain", "nix.test")


def test_one_account_is_shown_as_the_contract_says(filled: Place) -> None:
    shown = filled.well("account", "show", address(Phase.STALLED), "--json").json
    assert {
        "address", "domain", "state", "phase", "provider", "trigger", "started_at", "finished_at",
        "window_ends_at", "messages", "bytes", "percent", "eta_seconds", "completeness", "last_run",
        "password", "bypass",
    } <= set(shown)  # fmt: skip
    assert set(shown["messages"]) == {"total", "copied", "remaining", "skipped"}
    assert shown["messages"] == {"total": 10, "copied": 4, "remaining": 5, "skipped": 1}
    assert set(shown["bytes"]) == {"total", "copied"}
    assert {"result", "cause", "who_must_act", "advice", "ended_at", "next_retry_at"} <= set(
        shown["last_run"]
    )
    assert set(shown["last_run"]["advice"]) == {"en", "zh"}
    assert {"verified_at", "pushed_at", "proved_at", "target_wins"} <= set(shown["password"])
    assert set(shown["bypass"]) == {"changes_seen", "last_at"}
    assert shown["last_run"]["who_must_act"] == "user"


@pytest.mark.hazard("T27")
def test_what_a_server_said_stays_one_line_without_escapes(filled: Place) -> None:
    account = address(Phase.STALLED)
    for words in (("show", account), ("log", account), ("skipped", account)):
        out = filled.well("account", *words).out
        assert "\x1b" not in out
        assert "\r" not in out
        assert not any(line.startswith("INFO") for line in out.splitlines())
    assert "\\x1b[2J" in filled.well("account", "skipped", account).out
    (row,) = filled.well("account", "skipped", account, "--json").json
    assert (row["mailbox"], row["uid"], row["reason"], row["size"]) == ("INBOX", 7, "too_big", 99)


def test_the_log_has_the_newest_change_first(filled: Place) -> None:
    rows = filled.well("account", "log", address(Phase.CLOSED), "--json").json
    assert [row["to"] for row in rows] == ["CLOSED", "SWITCHED", "BACKFILL"]
    assert len(filled.well("account", "log", address(Phase.CLOSED), "--json", "--limit", "1").json) == 1
    assert filled.well("account", "log", address(Phase.IDLE), "--json").json == []


@pytest.mark.parametrize("command", sorted(WORKS_IN))
def test_what_may_be_done_depends_on_the_phase(filled: Place, command: str) -> None:
    worked = set()
    for phase in Phase:
        before = filled.rows("accounts")
        said = filled.run("account", command, address(phase), stdin="the old password\n")
        if said.status == 0:
            worked.add(phase)
            assert said.out.startswith(f"{address(phase)}: ")
        else:
            assert said.status == 1, str(said)
            assert address(phase) in said.fault
            assert filled.rows("accounts") == before
    assert worked == WORKS_IN[command]


def test_an_account_that_nobody_knows_yet_is_excluded_and_taken_back(filled: Place) -> None:
    filled.well("account", "exclude", "New@old.test")
    assert filled.well("account", "show", "new@old.test", "--json").json["state"] == "not_migrating"
    filled.well("account", "reset", "new@old.test")
    assert filled.well("account", "show", "new@old.test", "--json").json["state"] == "not_started"
    assert "there is no domain" in filled.fails("account", "exclude", "new@nix.test")


def test_a_change_of_phase_is_noted_with_who_made_it(filled: Place) -> None:
    filled.well("account", "retry", address(Phase.BLOCKED), environment={"SUDO_USER": "anna"})
    newest = filled.well("account", "log", address(Phase.BLOCKED), "--json").json[0]
    assert (newest["event"], newest["to"], newest["who"]) == ("retried", "PRECOPY", "cli:anna")
    filled.well("account", "pause", address(Phase.PRECOPY))
    assert filled.well("account", "show", address(Phase.PRECOPY), "--json").json["paused"] is True


def test_an_account_without_a_password_at_the_target_is_switched_only_by_force(filled: Place) -> None:
    assert "never set at the target" in filled.fails("account", "switch", address(Phase.PRECOPY))
    assert (
        "lives on the target now" in filled.well("account", "switch", address(Phase.PRECOPY), "--force").out
    )
    assert filled.well("account", "show", address(Phase.PRECOPY), "--json").json["phase"] == "BACKFILL"
    assert address(Phase.PRECOPY) in (filled.state / "flips.log").read_text()


@pytest.mark.hazard("T31")
def test_a_password_is_read_from_standard_input_and_shown_nowhere(filled: Place) -> None:
    word = "canary-2f9c81"
    said = filled.well("account", "password", address(Phase.BLOCKED), stdin=f"{word}\r\n")
    assert word not in str(said)
    assert filled.well("account", "show", address(Phase.BLOCKED), "--json").json["password"]["imported"]
    for path in filled.state.rglob("*"):
        if path.is_file():
            assert word.encode() not in path.read_bytes()
    for wrong in ("", "\n", "x" * 256):
        fault = filled.fails("account", "password", address(Phase.BLOCKED), stdin=wrong, status=2)
        assert fault == "a password has 1 to 255 octets"


@pytest.mark.parametrize("command", ADDRESSED)
def test_an_account_that_does_not_exist_or_is_no_address_is_named(filled: Place, command: str) -> None:
    assert filled.fails("account", command, f"nix@{DOMAIN}", stdin="x\n") == NOBODY
    fault = filled.fails("account", command, "a\x1b[2J b", stdin="x\n", status=2)
    assert "is no account's address" in fault
    assert "\x1b" not in fault


def test_a_sample_is_a_share(filled: Place) -> None:
    for wrong in ("0", "-1%", "101%", "some", "nan"):
        fault = filled.fails("account", "verify", address(Phase.SWITCHED), "--sample", wrong, status=2)
        assert fault == "write --sample 1% (up to 100%), or all"
    assert "no password is kept" in filled.fails(
        "account", "verify", address(Phase.SWITCHED), "--sample", "1%"
    )
