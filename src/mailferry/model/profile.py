"""What is known of one kind of source system: the type that a provider's TOML file fills.

Each oddity is a field here, read in exactly one place; nothing in the program asks which provider
it is. Unset fields mean the standard's behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mailferry.model.hours import Hours


class SendId(StrEnum):
    """When IMAP ID (RFC 2971) is sent to the source."""

    NEVER = "never"
    BEFORE = "before"
    AFTER = "after"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One pattern over a server's decoded refusal text, and the cause it stands for."""

    rule_id: str
    pattern: str
    cause: str
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """The behaviour of one kind of source."""

    profile_id: str
    names: Mapping[str, str]
    """Language (`en`, `zh`) to name."""
    send_id: SendId = SendId.AFTER
    login_literals: bool = True
    """False where LOGIN arguments must be quoted strings (Tencent answers BAD to literals)."""
    auth_order: tuple[str, ...] = ("PLAIN", "LOGIN")
    """SASL mechanism `PLAIN` or the IMAP command `LOGIN`, tried in this order."""
    max_command_octets: int = 8000
    """Longer commands are split (Tencent drops lines over 6 KB without a word)."""
    skip_mailboxes: tuple[str, ...] = ()
    """Decoded names that hold no mail, such as Exchange's calendar."""
    special_mailboxes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Role (`sent`, `drafts`, `trash`, `junk`, `archive`) to decoded names."""
    strip_parents: tuple[str, ...] = ()
    """Decoded parent names that are dropped on the copy (Tencent's 其他文件夹)."""
    keepalive_command: str = "NOOP"
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
    error_rules: tuple[ErrorRule, ...] = ()
