"""A user's five mail programs: set up once with the old password, they read before, during and after a move."""

from __future__ import annotations

import imaplib
import poplib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.stage import OLD, ROLE_NAMES, USER, Stage
from tests.kit import oracle
from tests.kit.oracle import Mail
from tests.kit.peer_curl import curl
from tests.kit.peer_dovecot import Dovecot
from tests.kit.peer_fetchmail import Fetchmail
from tests.kit.peer_mbsync import Mbsync
from tests.kit.run_process import Command, Ran

T = TypeVar("T")

SECONDS = 120.0
LOGINS = 7
"""What one `read` takes: two by imaplib and poplib, three by curl, one by fetchmail, one by mbsync."""

_VERDICT = re.compile(r" login session=\S+ protocol=\S+ .*?\b(side=\S+ verdict=\S+)")
_GONE = re.compile(r"^Error: channel all: far side box (.+) cannot be opened\.$", re.MULTILINE)
_TOLD = re.compile(r"^(?:Error|Notice): channel all, far side box (.+?): (.+)$", re.MULTILINE)


class Programs:
    """imaplib, poplib, curl, fetchmail with `keep`, and mbsync of one user; each remembers what it has seen."""

    def __init__(self, stage: Stage, home: Path) -> None:
        self._stage = stage
        self._home = home
        self._host = "127.0.0.1" if stage.tls is None else "localhost"
        self._fetchmail = Fetchmail(
            home / "fetchmail", host=self._host, port=stage.service.pop3_port, user=USER, password=OLD,
            ca=self._authority,
        )  # fmt: skip
        self._mbsync = self._new_mbsync()
        self._maildrop: dict[bytes, bytes] = {}

    def read(self, server: Dovecot) -> None:
        """Let each program log in once by each protocol it speaks, and read.

        Each is served by `server`, at its first try, and shows what doveadm reads there, all of it and
        once; each UIDL that was ever shown stands at its old place for the same message.
        """
        mail = oracle.read(server, USER)
        before = len(self.verdicts())
        inbox = self._imaplib(mail, mailboxes=len(server.doveadm_json("mailbox", "list", "-u", USER)))
        self._poplib(inbox)
        self._curl(inbox)
        self._fetch(inbox)
        self._pull(mail)
        side = "source" if server is self._stage.source else "target"
        assert self.verdicts()[before:] == [f"side={side} verdict=accepted"] * LOGINS

    def look(self, *, patient: bool = False) -> None:
        """Log in and out by IMAP and by POP3: nothing that was there before has gone.

        A `patient` user comes again when told that the mailbox is unavailable for now, and only then.
        """
        client = _let_in(self._stage.imap, patient=patient)
        status, (count, *_) = client.select("INBOX", readonly=True)
        assert (status, int(count) >= len(self._maildrop)) == ("OK", True)
        client.logout()
        drop = _let_in(self._stage.pop3, patient=patient)
        assert drop.stat()[0] >= len(self._maildrop)
        drop.quit()

    def meet_new_uids(self) -> None:
        """Let mbsync meet the one honest change of UIDVALIDITY with what it remembers.

        It looks whether the UIDs that it knows still stand for the same Message-IDs. In INBOX they do not,
        because the target received mail meanwhile: it stops there and says why. In the other mailboxes
        they do: it goes on. A role's mailbox that has another name at the target is one that is gone and
        one that is new. Nothing that it has is lost, doubled or changed.
        """
        had = self._mbsync.messages()
        ran = self._mbsync.command().run_now(SECONDS)
        assert ran.code == 1, ran.text
        told = dict(_TOLD.findall(ran.text))
        assert told.pop("INBOX").startswith("UIDVALIDITY genuinely changed (at UID "), ran.text
        assert set(_GONE.findall(ran.text)) == set(ROLE_NAMES)
        names = self._stage.target.doveadm_json("mailbox", "list", "-7", "-u", USER)
        assert told.keys() == {row["mailbox"] for row in names} - {"INBOX", *ROLE_NAMES.values()}
        assert set(told.values()) == {"Recovered from change of UIDVALIDITY."}
        new = {there: sorted(had[here]) for here, there in ROLE_NAMES.items()}
        assert {name: sorted(found) for name, found in self._mbsync.messages().items()} == {
            **{name: sorted(found) for name, found in had.items()},
            **new,
        }

    def forget_uids(self) -> None:
        """Set mbsync up anew, as a user does whom it told that the UIDs are others."""
        self._mbsync = self._new_mbsync()

    def verdicts(self) -> list[str]:
        """Return what the service logged of each login so far: who served it, or why nobody did."""
        return _VERDICT.findall(self._stage.service.log.read_text())

    # --- the programs

    def _imaplib(self, mail: Mail, *, mailboxes: int) -> list[bytes]:
        """Return all messages of INBOX, in order."""
        client = self._stage.imap()
        assert len(client.list()[1]) == mailboxes
        assert client.select("INBOX", readonly=True)[0] == "OK"
        _, answer = client.fetch("1:*", "(BODY.PEEK[])")
        client.logout()
        inbox = [part[1] for part in answer if isinstance(part, tuple)]
        shown = [("INBOX", oracle.digest_of(octets)) for octets in inbox]
        _same("imaplib", shown, [held for held in _held(mail) if held[0] == "INBOX"])
        return inbox

    def _poplib(self, inbox: Sequence[bytes]) -> None:
        client = self._stage.pop3()
        uidls = [line.split()[1] for line in client.uidl()[1]]
        messages = [b"\n".join(client.retr(number + 1)[1]) for number in range(len(uidls))]
        client.quit()
        _same("poplib", messages, map(_lines, inbox))
        maildrop = dict(zip(uidls, messages, strict=True))
        assert len(maildrop) == len(messages), "a UIDL stands twice"
        known = list(self._maildrop)
        assert uidls[: len(known)] == known, "UIDLs changed"
        others = [uidl for uidl in known if maildrop[uidl] != self._maildrop[uidl]]
        assert not others, f"UIDLs that stand for other messages now: {others[:5]}"
        self._maildrop = maildrop

    def _curl(self, inbox: Sequence[bytes]) -> None:
        pop3 = f"pop3://{self._host}:{self._stage.service.pop3_port}/"
        assert len(self._curled(pop3).splitlines()) == len(inbox)
        assert _lines(self._curled(f"{pop3}1")) == next(iter(self._maildrop.values()))
        imap = f"imap://{self._host}:{self._stage.service.imap_port}/INBOX"
        assert self._curled(f"{imap};MAILINDEX={len(inbox)}") == inbox[-1]

    def _curled(self, url: str) -> bytes:
        tls = self._stage.tls is not None
        return self._done(curl(url, USER, OLD, ca=self._authority, starttls=tls)).out

    def _fetch(self, inbox: Sequence[bytes]) -> None:
        """It has each message once, so it fetched only those that it did not have."""
        self._fetchmail.fetched_by(self._fetchmail.command().run_now(SECONDS))
        _same("fetchmail", map(_lines, self._fetchmail.fetched), map(_lines, inbox))

    def _pull(self, mail: Mail) -> None:
        self._done(self._mbsync.command())
        pulled = [
            (oracle.unicode_name(folder), oracle.digest_of(octets))
            for folder, messages in self._mbsync.messages().items()
            for octets in messages
        ]
        _same("mbsync", pulled, _held(mail))

    @staticmethod
    def _done(command: Command) -> Ran:
        ran = command.run_now(SECONDS)
        assert ran.code == 0, ran.text
        return ran

    def _new_mbsync(self) -> Mbsync:
        home = self._home / f"mbsync{len(list(self._home.glob('mbsync*')))}"
        return Mbsync(
            home, host=self._host, port=self._stage.service.imap_port, user=USER, password=OLD,
            ca=self._authority,
        )  # fmt: skip

    @property
    def _authority(self) -> Path | None:
        return None if self._stage.tls is None else self._stage.tls.ca


def _let_in(login: Callable[[], T], *, patient: bool) -> T:
    patience = time.monotonic() + SECONDS
    while True:
        try:
            return login()
        except (imaplib.IMAP4.error, poplib.error_proto) as error:
            told_later = b"[UNAVAILABLE]" in error.args[0] or b"[SYS/TEMP]" in error.args[0]
            if not (patient and told_later and time.monotonic() < patience):
                raise


def _lines(octets: bytes) -> bytes:
    """Return a message as POP3 can tell it: what ends its lines and whether the last one ends is lost."""
    return octets.replace(b"\r\n", b"\n").removesuffix(b"\n")


def _held(mail: Mail) -> Iterator[tuple[str, str]]:
    """Yield mailbox and digest of each message."""
    return ((message.mailbox, message.digest) for message in mail.messages.elements())


def _same(program: str, shown: Iterable[Any], held: Iterable[Any]) -> None:
    found, expected = Counter(shown), Counter(held)
    missing, surplus = expected - found, found - expected
    said = [
        f"{what}: {count} x {str(one)[:100]}"
        for what, many in (("missing", missing), ("surplus", surplus))
        for one, count in many.items()
    ]
    assert not said, "\n".join(
        [f"{program} shows {found.total()} messages of {expected.total()}", *said[:10]]
    )
