"""What the POP3 and the IMAP face of one lab host share: accounts, mail, quirks, and the book of sessions.

Passwords are octets. An account's password is its own, or, where the host reads a passwd-file, the
hash that stands there at this moment.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mailferry.lab.mailstore import Mailstore
from mailferry.lab.passwd_file import stored_hash, verify

MASTER_SEPARATOR = b"*"


@dataclass(frozen=True, slots=True)
class LabAccount:
    """One account of a lab host.

    `password` None means that only the passwd-file knows it. `login` is another name that works in
    place of the address. `protocols` are those the account may use.
    """

    password: bytes | None = None
    store: Mailstore = field(default_factory=Mailstore)
    login: str | None = None
    protocols: frozenset[str] = frozenset({"imap", "pop3"})


@dataclass(slots=True)
class SessionRecord:
    """What one connection did: its commands in order (arguments of logins left out) and who logged in."""

    number: int
    protocol: str
    secure: bool = False
    address: str | None = None
    open: bool = True
    client_id: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Premises:
    """The state of one lab host."""

    name: str
    accounts: dict[str, LabAccount]
    """By address; accounts may be opened and closed while the host runs."""
    quirks: set[str]
    passwd_file: Path | None = None
    master: tuple[str, bytes] | None = None
    plaintext_login: bool = True
    append_limit: int = 1024 * 1024
    connection_limit: int | None = None
    """Sessions of an account, where a quirk counts them; None: as many as that provider allows."""
    records: list[SessionRecord] = field(default_factory=list)
    wrong_tries: dict[str, int] = field(default_factory=dict)
    pop3_logins: dict[str, float] = field(default_factory=dict)
    login_delay: float = 60.0
    """Seconds between two POP3 logins of an account, where the host wants a pause."""
    breaks_at: str | None = None
    """The POP3 command in whose answer the connection breaks."""
    stalls_at: str | None = None
    """The POP3 command that is never answered."""
    retrieved: set[str] = field(default_factory=set)
    """Digests of messages that were retrieved over POP3."""
    troubled: frozenset[int] | None = None
    """UIDs of the messages with which quirks of FETCH and RETR have trouble; None: all."""
    patience: int = 5
    """How often a client may ask before a quirk of limits sets in."""
    octet_limit: int = 20_000
    """Octets of bodies that an account may fetch where a quirk counts them."""
    folder_cap: int = 1000
    """Messages of a mailbox that are shown where a quirk caps them."""
    spent: Counter[str] = field(default_factory=Counter)
    """What quirks that count have counted, by quirk."""

    def has(self, quirk: str) -> bool:
        """Say whether the quirk is switched on now."""
        return quirk in self.quirks

    def troubles(self, quirk: str, uid: int) -> bool:
        """Say whether the quirk is on and means this message."""
        return self.has(quirk) and (self.troubled is None or uid in self.troubled)

    def open_record(self, protocol: str) -> SessionRecord:
        """Begin the record of a connection."""
        record = SessionRecord(number=len(self.records) + 1, protocol=protocol)
        self.records.append(record)
        return record

    def store(self, address: str) -> Mailstore:
        """Return the mail of an account; KeyError when there is none."""
        return self.accounts[address].store

    def logins(self, address: str | None = None, protocol: str | None = None) -> list[SessionRecord]:
        """Return the records of sessions that logged in, of one account or protocol where named."""
        return [
            record
            for record in self.records
            if record.address is not None
            and address in (None, record.address)
            and protocol in (None, record.protocol)
        ]

    def find(self, login: bytes) -> str | None:
        """Return the address of the account that a login name means."""
        name = login.decode("utf-8", "surrogateescape").lower()
        for address, account in self.accounts.items():
            if name == address.lower() or (account.login is not None and name == account.login.lower()):
                return address
        return None

    def judge(self, authcid: bytes, password: bytes, authzid: bytes = b"") -> str | None:
        """Return the address that this login opens, None when it is refused. Blocks while a hash is checked."""
        name, separator, master = authcid.partition(MASTER_SEPARATOR)
        if separator and self.master is not None:
            authcid, authzid = master, name
        if authzid and authzid != authcid:
            if self.master is None or (authcid.decode("latin-1"), password) != self.master:
                return None
            return self.find(authzid)
        address = self.find(authcid)
        if address is None or not self._password_fits(address, password):
            self._note_wrong(address)
            return None
        if self.has("aliyun_lock") and self.wrong_tries.get(address, 0) >= 5:
            return None
        return address

    def _note_wrong(self, address: str | None) -> None:
        if address is not None:
            self.wrong_tries[address] = self.wrong_tries.get(address, 0) + 1

    def _password_fits(self, address: str, password: bytes) -> bool:
        known = self.accounts[address].password
        if known is not None:
            return password == known
        if self.passwd_file is None:
            return False
        stored = stored_hash(self.passwd_file, address)
        return stored is not None and verify(stored, password)
