"""The main job told as a story, every sentence of it checked (contract, section 1: `make demo`).

Two users log in with their old passwords, are served by the old host, their mail is copied, and
their next login is served by the new host with every message there and no POP3 message new. The
service runs as real processes, the two hosts in a process of their own; nothing here looks into the
product except through its command line.
"""

from __future__ import annotations

import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from mailferry.lab.mail_programs import ImapVisit, LoginRefused, Pop3Program, VisitBroke, visit_imap
from mailferry.lab.mailstore import Trait, differences
from mailferry.lab.narration import ClaimBroken, Narrator
from mailferry.lab.rehearsal_hosts import HostsBroke, RehearsalHost, RehearsalUser
from mailferry.lab.rehearsal_terms import Terms, WrongTerms
from mailferry.lab.sabotage import SABOTAGES, Scene
from mailferry.lab.service_process import ServiceBroke
from mailferry.lab.stage import DOMAIN, Stage, ending_on_sigterm, set_stage

__all__ = ["Terms", "WrongTerms", "rehearse"]

MOVE_SECONDS = 120.0
LATE_SECONDS = 45.0
LOOK_SECONDS = 0.4


def rehearse(terms: Terms, say: Callable[[str], None], stay: Callable[[], None] | None = None) -> int:
    """Tell the story; return 0 when every claim held, else 1.

    With `stay` the service is left open at the end until `stay` returns. Raises WrongTerms before anything
    is started.
    """
    quirks = terms.old_hosts_quirks()
    narrator = Narrator(say)
    with ExitStack() as stack:
        stack.enter_context(ending_on_sigterm())
        try:
            narrator.act(
                "An old mail host full of mail, a new one that is empty, and mailferry where users log in"
            )
            story = _Story(terms, narrator, set_stage(terms, stack))
            story.introduce(quirks)
            story.old_password()
            story.copy()
            story.sabotage()
            story.compare()
            story.second_login()
            story.late_mail()
        except ClaimBroken as broken:
            say(f"\nThe story ends here: {broken}. This must not happen.")
            return 1
        except (LoginRefused, VisitBroke, ServiceBroke, HostsBroke, OSError) as error:
            say(f"\nThe story cannot go on: {error}")
            return 1
        say(f"\nAll {narrator.held} claims were checked and hold.")
        if stay is not None:
            story.leave_open()
            stay()
    return 0


class _Story:
    """The acts; each uses what the ones before it found."""

    def __init__(self, terms: Terms, narrator: Narrator, stage: Stage) -> None:
        self._terms = terms
        self._narrator = narrator
        self._hosts = stage.hosts
        self._service = stage.service
        self._wang, self._li = stage.wang, stage.li
        self._authority = stage.authority
        self._trust = ssl.create_default_context(cafile=str(stage.authority))
        self._program = Pop3Program(stage.wang.address, stage.wang.password)
        self._first_visit: ImapVisit | None = None
        self._at_new: Counter[Trait] = Counter()
        self._marks = 900_000

    # the acts

    def introduce(self, quirks: tuple[str, ...]) -> None:
        """Who is who."""
        for user in (self._wang, self._li):
            self._narrator.tell(f"{user.address}: {user.messages} messages at the old host")
        if quirks:
            self._narrator.tell(f"the old host's oddities: {', '.join(quirks)}")

    def old_password(self) -> None:
        """First logins, by POP3 and by IMAP, with the old passwords."""
        tell = self._narrator
        tell.act("Two users log in with their OLD passwords")
        tell.claim("a wrong password is refused as wrong", *self._wrong_password())
        mark = self._mark()
        self._program.visit(self._service.ports["pop3"], self._trust, mark)
        uidls = self._hosts.old.uidls(self._wang.address)
        self._mail_arrives()
        self._served_by(self._hosts.old, mark, f"{self._wang.address} (POP3)")
        tell.claim(
            f"all {len(uidls)} messages of the maildrop were downloaded under the old host's own UIDLs",
            sorted(self._program.listed) == sorted(uidls),
            "the list differs from the old host's",
        )
        mark = self._mark()
        self._first_visit = self._read(self._li, mark)
        self._served_by(self._hosts.old, mark, f"{self._li.address} (IMAP)")
        tell.claim(
            f"{self._first_visit.mail.total()} messages were read in {len(self._first_visit.uidvalidity)} mailboxes,"
            " as the old host has them",
            *_equal(self._hosts.old.fingerprint(self._li.address), self._first_visit.mail),
        )

    def copy(self) -> None:
        """The copy, up to the move of both accounts."""
        tell = self._narrator
        tell.act("Behind the scenes both accounts are copied")
        tell.tell(f"meanwhile {self._wang.address} was sent two messages, one reached each host")
        self._await_moves()
        accounts = self._service.accounts()
        for user in (self._wang, self._li):
            shown = accounts[user.address]
            counts = shown["messages"]
            tell.claim(
                f"{user.address} is done: {counts['copied']} messages copied, none skipped",
                shown["state"] == "done" and counts["remaining"] == 0 and counts["skipped"] == 0,
                [
                    f"state {shown['state']}, phase {shown['phase']}, {counts}",
                    str(shown.get("last_run")),
                    *self._service.last_words().splitlines(),
                ],
            )

    def sabotage(self) -> None:
        """Whatever was asked to be broken."""
        if self._terms.sabotage is None:
            return
        scene = Scene(self._wang.address, self._hosts.new, self._hosts.passwd_file, self._service.database)
        self._narrator.act(f"Sabotage: {self._terms.sabotage}")
        self._narrator.tell(SABOTAGES[self._terms.sabotage](scene))

    def compare(self) -> None:
        """Both hosts' mail side by side, and the password at the new host."""
        tell = self._narrator
        tell.act("What the new host has now")
        for user in (self._wang, self._li):
            expected = self._hosts.old.fingerprint(user.address)
            if user is self._wang:
                expected += self._at_new
            actual = self._hosts.new.fingerprint(user.address)
            tell.claim(
                f"{user.address}: {actual.total()} messages with the same bytes, mailboxes, flags, keywords and dates,"
                " none missing, none twice",
                *_equal(expected, actual),
            )
        for user in (self._wang, self._li):
            refused = self._login_directly(user)
            tell.claim(f"the old password of {user.address} opens the new host itself", not refused, refused)

    def second_login(self) -> None:
        """The next logins."""
        tell = self._narrator
        tell.act("The users' next logins, nothing changed in their mail programs")
        before = list(self._program.listed)
        mark = self._mark()
        fresh = self._program.visit(self._service.ports["pop3"], self._trust, mark)
        self._served_by(self._hosts.new, mark, f"{self._wang.address} (POP3)")
        kept = [uidl for uidl in self._program.listed if uidl in set(before)]
        tell.claim(
            f"all {len(before)} UIDLs are unchanged and in the same order: no message is downloaded again",
            kept == before,
            [f"gone or moved: {uidl}" for uidl in before if uidl not in set(kept)] or "their order changed",
        )
        tell.claim(
            "the two messages that arrived meanwhile are new, and nothing else is",
            len(fresh) == 2,
            f"{len(fresh)} were downloaded",
        )
        assert self._first_visit is not None
        for user in (self._wang, self._li):
            mark = self._mark()
            visit = self._read(user, mark)
            self._served_by(self._hosts.new, mark, f"{user.address} (IMAP)")
            tell.claim(
                f"{user.address} reads {visit.mail.total()} messages, all that the new host has",
                *_equal(self._hosts.new.fingerprint(user.address), visit.mail),
            )
        tell.claim(
            f"{self._li.address} finds the same mailboxes subscribed",
            visit.subscribed >= self._first_visit.subscribed,
            f"missing: {sorted(self._first_visit.subscribed - visit.subscribed)}",
        )
        same = [n for n, v in visit.uidvalidity.items() if self._first_visit.uidvalidity.get(n) == v]
        tell.claim(
            "every mailbox has another UIDVALIDITY, so that no cache shows a wrong message", not same, same
        )

    def late_mail(self) -> None:
        """Mail that still reaches the old host."""
        tell = self._narrator
        tell.act("A message still reaches the old host, days after the move")
        digest = self._hosts.old.deliver(self._li.address, _letter("late, through the old host"))
        self._read(self._li, self._mark())
        held = _within(
            LATE_SECONDS,
            lambda: sum(t.sha256 == digest for t in self._hosts.new.fingerprint(self._li.address)) == 1,
        )
        tell.claim("after the next login it lies on the new host, once", held, self._service.last_words())

    def leave_open(self) -> None:
        """Tell how to go on by hand."""
        ports = self._service.ports
        say = self._narrator.tell
        self._narrator.act("The service stays open; try it with a mail program, end it with Ctrl-C")
        say(f"IMAP localhost:{ports['imap']} (STARTTLS) or {ports['imaps']} (TLS)")
        say(f"POP3 localhost:{ports['pop3']} (STLS) or {ports['pop3s']} (TLS)")
        say(f"certificate authority: {self._authority}")
        for user in (self._wang, self._li):
            say(f"{user.address}  password: {user.password}")
        say(
            f"user page http://localhost:{ports['web']}/  metrics http://localhost:{ports['metrics']}/metrics"
        )
        say(f"mailferry --config {self._service.config} account list")

    # what the acts are made of

    def _mail_arrives(self) -> None:
        """Send a message through each host, before the copy can be complete."""
        address = self._wang.address
        self._hosts.old.deliver(address, _letter("through the old host, during the copy"))
        arrived = self._hosts.new.deliver(address, _letter("through the new host, during the copy"))
        found = self._hosts.new.fingerprint(address)
        self._at_new = Counter({trait: n for trait, n in found.items() if trait.sha256 == arrived})

    def _mark(self) -> str:
        self._marks += 1
        return str(self._marks)

    def _read(self, user: RehearsalUser, mark: str) -> ImapVisit:
        return visit_imap(self._service.ports["imap"], self._trust, user.address, user.password, mark)

    def _served_by(self, host: RehearsalHost, mark: str, who: str) -> None:
        other = self._hosts.new if host is self._hosts.old else self._hosts.old
        name = "old" if host is self._hosts.old else "new"
        self._narrator.claim(
            f"{who} is served by the {name} host",
            host.served(mark) and not other.served(mark),
            "the session went to the other host"
            if other.served(mark)
            else "the session reached neither host",
        )

    def _wrong_password(self) -> tuple[bool, str]:
        try:
            Pop3Program(self._wang.address, "not the password").visit(
                self._service.ports["pop3"], self._trust, self._mark()
            )
        except LoginRefused as refused:
            return "[AUTH]" in str(refused), f"the answer was: {refused}"
        return False, "it was let in"

    def _login_directly(self, user: RehearsalUser) -> str:
        try:
            visit_imap(self._hosts.new.ports["imap"], self._trust, user.address, user.password, self._mark())
        except LoginRefused as refused:
            return str(refused)
        return ""

    def _await_moves(self) -> None:
        """Wait until both accounts are done or one has failed; the claims behind it judge."""
        told = ""
        deadline = time.monotonic() + MOVE_SECONDS
        while time.monotonic() < deadline:
            progress = self._service.progress()
            if progress.states.get("done") == 2 or progress.states.get("failed"):
                return
            states = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in progress.states.items() if n)
            line = f"accounts: {states}; {progress.copied} messages copied"
            if line != told:
                self._narrator.tell(line)
                told = line
            time.sleep(LOOK_SECONDS)


def _equal(expected: Counter[Trait], actual: Counter[Trait]) -> tuple[bool, list[str]]:
    found = differences(expected, actual)
    return not found, found


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(LOOK_SECONDS)
    return False


def _letter(subject: str) -> bytes:
    return (
        f"From: friend@elsewhere.test\r\nTo: you@{DOMAIN}\r\nSubject: {subject}\r\n"
        f"Message-ID: <{time.time_ns()}@elsewhere.test>\r\n\r\nHello!\r\n"
    ).encode()
