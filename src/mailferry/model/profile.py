"""What is known of one kind of source system: the type that a provider's TOML file fills.

Each oddity is a field here, read in at most one place; nothing in the program asks which provider
it is. A field that is not known holds the standard's behaviour, or None where there is no such
thing; `confidence` says which are known, and how well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mailferry.model.hours import Hours


class Confidence(StrEnum):
    """How sure a fact is."""

    HIGH = "high"  # a transcript, source code, or the vendor's own document
    MEDIUM = "medium"  # one credible report
    LOW = "low"  # inferred, remembered, or old
    UNKNOWN = "unknown"


class SendId(StrEnum):
    """When IMAP ID (RFC 2971) is sent to the source."""

    NEVER = "never"
    BEFORE = "before"
    AFTER = "after"
    BOTH = "both"


class Codes(StrEnum):
    """Whether mail programs log in with an authorization code (授权码) in place of the password."""

    NO = "no"
    OPTIONAL = "optional"  # where the user or the administrator switched it on
    REQUIRED = "required"


class Tags(StrEnum):
    """Which tags of IMAP commands a source takes."""

    ANY = "any"
    LETTER_FIRST = "letter_first"  # tags of digits are refused


class Search(StrEnum):
    """What SEARCH can be trusted with."""

    FULL = "full"
    ASCII = "ascii"  # no CHARSET
    SIMPLE = "simple"  # single keys without CHARSET and without parentheses
    FLAGS = "flags"  # ALL, flags and dates; words are refused or find wrong messages


class AfterDnsChange(StrEnum):
    """What the source does once the domain's DNS names another mail service."""

    OPEN = "open"
    RESTRICTED = "restricted"  # logins of mail programs may be refused


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One pattern over a server's decoded refusal text, and the cause it stands for."""

    rule_id: str
    pattern: str
    cause: str
    ambiguous: bool = False
    confidence: Confidence = Confidence.UNKNOWN


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One thing that an administrator must see to at the old provider before the move."""

    step_id: str
    en: str
    zh: str
    confidence: Confidence = Confidence.UNKNOWN


@dataclass(frozen=True, slots=True)
class Profile:
    """The behaviour of one kind of source."""

    profile_id: str
    names: Mapping[str, str]
    """Language (`en`, `zh`) to name."""

    # how it is recognised
    mx_patterns: tuple[str, ...] = ()
    """Regular expressions for the whole name of a mail exchanger, in small letters."""
    spf_includes: tuple[str, ...] = ()
    host_suffixes: tuple[str, ...] = ()
    """Ends of the provider's own host names: where a CNAME leads, what a certificate is for."""
    greeting_patterns: tuple[str, ...] = ()
    """Regular expressions within the first line of IMAP or POP3, whatever the letter case."""
    capability_tokens: tuple[str, ...] = ()
    """IMAP capabilities that nobody else has."""
    id_patterns: tuple[str, ...] = ()
    """Regular expressions within the server's own ID, written `name vendor`."""
    only_domains: tuple[str, ...] = ()
    """The service has these domains and no others; empty where it serves anybody's."""

    # where it is
    imap_hosts: tuple[str, ...] = ()
    """Server addresses, the best first; `{domain}` stands for the domain that moves."""
    pop3_hosts: tuple[str, ...] = ()
    smtp_hosts: tuple[str, ...] = ()
    """`host:port`."""

    # logging in
    password_login: bool = True
    """False where no password opens a mailbox for mail programs: it cannot be moved by login."""
    login_forms: tuple[str, ...] = ("full",)
    """How accounts are named there, as a domain's `login_form` is written; the usual one first."""
    codes: Codes | None = None
    send_id: SendId = SendId.AFTER
    login_literals: bool = True
    """False where LOGIN arguments must be quoted strings (Tencent answers BAD to literals)."""
    auth_order: tuple[str, ...] = ("PLAIN", "LOGIN")
    """SASL mechanism `PLAIN` or the IMAP command `LOGIN`, tried in this order."""
    tags: Tags = Tags.ANY

    # speaking with it
    max_command_octets: int = 8000
    """Longer commands are split (Tencent drops lines over 6 KB without a word)."""
    search: Search = Search.FULL
    exact_sizes: bool = True
    """False where RFC822.SIZE is only a hint and the literal's length alone is true."""
    text_encoding: str = "utf-8"
    """Of refusals and other texts: `utf-8` or `gbk`."""
    keepalive_command: str = "NOOP"

    # what it shows
    visibility_window_days: int | None = None
    """By default only mail of so many days is shown to mail programs; 0 shows all."""
    skip_mailboxes: tuple[str, ...] = ()
    """Decoded names that hold no mail, such as Exchange's calendar."""
    special_mailboxes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Role (`sent`, `drafts`, `trash`, `junk`, `archive`) to decoded names."""
    strip_parents: tuple[str, ...] = ()
    """Decoded parent names that are dropped on the copy (Tencent's 其他文件夹)."""

    placeholder_patterns: tuple[str, ...] = ()
    """Regular expressions within the first lines of a text that it gives in place of a message."""

    # what it bears
    max_connections: int | None = None
    """Sessions of one account, the user's own included."""
    host_connections: int | None = None
    """Sessions of ours at one host, all accounts together; so are the other `host_*`."""
    bytes_per_day: int | None = None
    """Octets read from one account."""
    host_bytes_per_day: int | None = None
    commands_per_minute: int | None = None
    """Commands to one account."""
    host_commands_per_minute: int | None = None
    copy_hours: Hours | None = None
    """When the source may be copied from, by the local clock."""
    append_octets: int | None = None
    """The largest message that it takes over IMAP."""

    # what else matters to a move
    smtp_saves_sent: bool | None = None
    """Whether its SMTP puts what users send into their sent mailbox."""
    after_dns_change: AfterDnsChange | None = None
    error_rules: tuple[ErrorRule, ...] = ()
    checklist: tuple[CheckStep, ...] = ()

    confidence: Mapping[str, Confidence] = field(default_factory=dict)
    """Field to how sure it is; the fields above that state facts, each of them in a loaded profile."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Field to a remark about it."""

    def known(self, name: str) -> bool:
        """Whether the field `name` is a fact and not merely the standard's behaviour."""
        return self.confidence.get(name, Confidence.UNKNOWN) is not Confidence.UNKNOWN


NOT_FACTS = frozenset({"profile_id", "names", "confidence", "notes"})
FACTS = tuple(name for name in Profile.__dataclass_fields__ if name not in NOT_FACTS)
"""The fields that state facts, in their order."""
