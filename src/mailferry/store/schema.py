"""The tables. What they mean stands in the file of plain functions that bears each table's name.

Times are seconds since 1970 (UTC) as floating numbers; octets that servers sent are kept as octets.
The versions in `versions/` create and change these tables; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of type INTEGER."""

_ZERO = text("0")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=false())


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=_ZERO)


def _parent(name: str, key: str, *, primary: bool = False, index: bool | None = None) -> Column[int]:
    """A column that names a row without which this one goes too."""
    kind = (BigInteger, ForeignKey(key, ondelete="CASCADE"))
    return Column(name, *kind, nullable=False, primary_key=primary, autoincrement=False, index=index)


def _account(*, primary: bool = False) -> Column[int]:
    return _parent("account_id", "accounts.id", primary=primary)


domains = Table(
    "domains",
    metadata,
    Column("name", Text, primary_key=True),
    Column("source_imap", Text),
    Column("source_pop3", Text),
    Column("provider", Text, nullable=False),
    Column("target_imap", Text),
    Column("target_pop3", Text),
    Column("window_days", Integer, nullable=False),
    Column("window_opened_at", Double, nullable=False),
    Column("window_ends_at", Double, nullable=False),
    Column("window_number", Integer, nullable=False),
    Column("window_over_for", Double, nullable=False, server_default=_ZERO),
    Column("login_form", Text, nullable=False),
    Column("switch", Text, nullable=False),
    Column("language", Text, nullable=False),
    *map(_flag, ("accept_plaintext", "push_from_plaintext", "paused")),
    Column("added_at", Double, nullable=False),
    *map(_flag, ("uses_codes", "push_codes")),
    Column("source_blocked_at", Double),
    CheckConstraint("source_imap IS NOT NULL OR source_pop3 IS NOT NULL", name="a_source"),
)

source_checks = Table(
    "source_checks",
    metadata,
    Column("domain", Text, ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
    Column("protocol", Text, primary_key=True),
    Column("server", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("refuses", Boolean, nullable=False),
    Column("variants", Text),
)

window_numbers = Table(
    "window_numbers",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("last", Integer, nullable=False),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("role", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("renewed_at", Double, nullable=False),
    sqlite_autoincrement=True,
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("address", Text, nullable=False, unique=True),
    Column("domain", Text, ForeignKey("domains.name"), nullable=False),
    Column("source_login", Text),
    Column("phase", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("added_at", Double, nullable=False),
    Column("trigger", Text),
    Column("first_trigger_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
    # the last run and what follows from it
    Column("last_result", Text),
    Column("last_run_ended_at", Double),
    Column("cause", Text),
    Column("cause_text", Text),
    Column("next_retry_at", Double),
    _count("failed_runs"),
    # how far the copy is
    _count("total"),
    _count("copied"),
    _count("skipped"),
    _count("bytes_total"),
    _count("bytes_copied"),
    Column("completeness", Text),
    _flag("used_pop3"),
    _count("bypass_changes"),
    Column("bypass_last_at", Double),
    # what an administrator said
    _flag("paused"),
    Column("approved_at", Double),
    # the way to the cutover
    _flag("cutover_wanted"),
    Column("drain_until", Double),
    Column("freeze_until", Double),
    _count("freeze_overruns"),
    # late mail
    Column("sweep_asked_at", Double),
    Column("swept_at", Double),
    # who works on it
    Column("next_due_at", Double),
    Column("woken_at", Double),
    Column("source_wanted_at", Double),
    Column("lease_node", BigInteger),
    _count("lease_number"),
    Column("lease_until", Double),
    Index(None, "domain", "phase"),
    Index(None, "domain", "next_due_at"),
    Index(None, "next_due_at"),
    Index(None, "lease_node"),
    Index(None, "freeze_until"),
    sqlite_autoincrement=True,
)

history = Table(
    "history",
    metadata,
    Column("id", BigId, primary_key=True),
    _account(),
    Column("at", Double, nullable=False),
    Column("event", Text, nullable=False),
    Column("phase_from", Text, nullable=False),
    Column("phase_to", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("cause", Text),
    Column("detail", Text),
    Column("who", Text),
    Index(None, "account_id", "id"),
)

flips = Table(
    "flips",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("address", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("phase", Text, nullable=False),
    Column("at", Double, nullable=False),
    _flag("logged"),
    UniqueConstraint("address", "epoch"),
    Index("ix_flips_unlogged", "logged", "id"),
)

passwords = Table(
    "passwords",
    metadata,
    _account(primary=True),
    _count("password_epoch"),
    Column("verifier", Text),
    Column("verified_at", Double),
    Column("sealed", LargeBinary),
    Column("sealed_window", Integer),
    Column("pushed_hash", Text),
    Column("pushed_at", Double),
    Column("proved_at", Double),
    _flag("target_wins"),
    _flag("sealed_by_import"),
    Column("tries_forgotten_at", Double),
    Column("verified_over", Text),
    Column("own_seen_at", Double),
    Column("own_hash", Text),
)

refused_passwords = Table(
    "refused_passwords",
    metadata,
    Column("id", BigId, primary_key=True),
    _account(),
    Column("verifier", Text, nullable=False),
    Column("at", Double, nullable=False),
    Index(None, "account_id"),
)

wrong_tries = Table(
    "wrong_tries",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("account_key", LargeBinary, nullable=False),
    Column("password_key", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("cause", Text),
    Column("at", Double, nullable=False),
    _flag("known"),
    Index(None, "account_key", "at"),
    Index(None, "source", "at"),
    Index(None, "at"),
)

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("id", BigId, primary_key=True),
    _account(),
    Column("source_name", LargeBinary, nullable=False),
    Column("source_uidvalidity", BigInteger),
    Column("source_uidnext", BigInteger),
    Column("source_highestmodseq", BigInteger),
    Column("source_exists", BigInteger),
    Column("source_octets", BigInteger),
    Column("target_name", LargeBinary, nullable=False),
    Column("target_uidvalidity", BigInteger),
    Column("target_uidnext", BigInteger),
    Column("target_highestmodseq", BigInteger),
    Column("target_exists", BigInteger),
    Column("role", Text),
    _flag("subscribed"),
    _flag("gone"),
    Column("checked_at", Double),
    _count("held_deletions"),
    UniqueConstraint("account_id", "source_name"),
    sqlite_autoincrement=True,
)

ledger_blocks = Table(
    "ledger_blocks",
    metadata,
    _parent("mailbox_id", "mailboxes.id", primary=True),
    Column("low_uid", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("packed", LargeBinary, nullable=False),
)

intents = Table(
    "intents",
    metadata,
    Column("id", BigId, primary_key=True),
    _account(),
    _parent("mailbox_id", "mailboxes.id", index=True),
    Column("opened_at", Double, nullable=False),
    Column("target_name", LargeBinary, nullable=False),
    Column("target_uidvalidity", BigInteger, nullable=False),
    Column("target_uidnext", BigInteger, nullable=False),
    Column("source_uidvalidity", BigInteger),
    Column("source_uids", LargeBinary, nullable=False),
    Column("traits", LargeBinary),
    _flag("examined"),
    Index(None, "account_id"),
    sqlite_autoincrement=True,
)

remarks = Table(
    "remarks",
    metadata,
    Column("id", BigId, primary_key=True),
    _account(),
    Column("kind", Text, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("detail", Text),
    Column("first_at", Double, nullable=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("account_id", "kind", "subject"),
)

skipped = Table(
    "skipped",
    metadata,
    Column("id", BigId, primary_key=True),
    _account(),
    _parent("mailbox_id", "mailboxes.id"),
    Column("source_uid", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text),
    Column("size", BigInteger),
    Column("tries", Integer, nullable=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("mailbox_id", "source_uid"),
    Index(None, "account_id", "id"),
)

uidl_blocks = Table(
    "uidl_blocks",
    metadata,
    _account(primary=True),
    Column("kind", Text, primary_key=True),
    Column("block", Integer, primary_key=True, autoincrement=False),
    Column("entries", Integer, nullable=False),
    Column("packed", LargeBinary, nullable=False),
)

uidl_maps = Table(
    "uidl_maps",
    metadata,
    _account(primary=True),
    Column("entries", Integer, nullable=False),
    Column("packed", LargeBinary, nullable=False),
)

maildrops = Table(
    "maildrops",
    metadata,
    _account(primary=True),
    Column("fingerprint", LargeBinary),
    Column("lonely", LargeBinary),
    Column("looked_at", Double),
    _count("shown"),
    _count("paired"),
    _count("waiting"),
    _count("left_out"),
    _count("unpaired"),
    _count("hidden"),
    _count("renumbered"),
    Column("login_delay", Double, nullable=False, server_default=_ZERO),
    Column("next_login_at", Double),
)

source_hosts = Table(
    "source_hosts",
    metadata,
    Column("host", Text, primary_key=True),
    Column("held_until", Double, nullable=False),
    Column("because", Text),
    _count("failures"),
)

pace_hours = Table(
    "pace_hours",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("octets", BigInteger, nullable=False),
    Index(None, "hour"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", BigId, primary_key=True),
    _account(),
    _parent("node_id", "nodes.id"),
    Column("protocol", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("opened_at", Double, nullable=False),
    _flag("resting"),
    Index(None, "account_id"),
    Index(None, "node_id"),
    sqlite_autoincrement=True,
)

deletions_told = Table(
    "deletions_told",
    metadata,
    _parent("session_id", "sessions.id", primary=True),
    Column("mailbox", LargeBinary, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

deletions_seen = Table(
    "deletions_seen",
    metadata,
    _account(primary=True),
    Column("mailbox", LargeBinary, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

samples = Table(
    "samples",
    metadata,
    Column("domain", Text, ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    _count("messages"),
    _count("octets"),
    _count("late"),
    _count("skipped"),
    _count("logins"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text),
    Index(None, "subject"),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("name", Text, primary_key=True),
    Column("verifier", Text, nullable=False),
    Column("added_at", Double, nullable=False),
)
