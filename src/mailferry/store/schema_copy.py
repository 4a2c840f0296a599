"""The tables of the copy: which mailboxes, which message is which, what was left out, how fast a source is asked."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from mailferry.store.schema_columns import (
    ZERO,
    BigId,
    account_column,
    count_column,
    flag_column,
    metadata,
    parent_column,
)

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("id", BigId, primary_key=True),
    account_column(),
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
    flag_column("subscribed"),
    flag_column("gone"),
    Column("checked_at", Double),
    count_column("held_deletions"),
    UniqueConstraint("account_id", "source_name"),
    sqlite_autoincrement=True,
)

ledger_blocks = Table(
    "ledger_blocks",
    metadata,
    parent_column("mailbox_id", "mailboxes.id", primary=True),
    Column("low_uid", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("packed", LargeBinary, nullable=False),
)

intents = Table(
    "intents",
    metadata,
    Column("id", BigId, primary_key=True),
    account_column(),
    parent_column("mailbox_id", "mailboxes.id", index=True),
    Column("opened_at", Double, nullable=False),
    Column("target_name", LargeBinary, nullable=False),
    Column("target_uidvalidity", BigInteger, nullable=False),
    Column("target_uidnext", BigInteger, nullable=False),
    Column("source_uidvalidity", BigInteger),
    Column("source_uids", LargeBinary, nullable=False),
    Column("traits", LargeBinary),
    flag_column("examined"),
    Index(None, "account_id"),
    sqlite_autoincrement=True,
)

remarks = Table(
    "remarks",
    metadata,
    Column("id", BigId, primary_key=True),
    account_column(),
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
    account_column(),
    parent_column("mailbox_id", "mailboxes.id"),
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
    account_column(primary=True),
    Column("kind", Text, primary_key=True),
    Column("block", Integer, primary_key=True, autoincrement=False),
    Column("entries", Integer, nullable=False),
    Column("packed", LargeBinary, nullable=False),
)

uidl_maps = Table(
    "uidl_maps",
    metadata,
    account_column(primary=True),
    Column("entries", Integer, nullable=False),
    Column("packed", LargeBinary, nullable=False),
)

maildrops = Table(
    "maildrops",
    metadata,
    account_column(primary=True),
    Column("fingerprint", LargeBinary),
    Column("lonely", LargeBinary),
    Column("looked_at", Double),
    count_column("shown"),
    count_column("paired"),
    count_column("waiting"),
    count_column("left_out"),
    count_column("unpaired"),
    count_column("hidden"),
    count_column("renumbered"),
    Column("login_delay", Double, nullable=False, server_default=ZERO),
    Column("next_login_at", Double),
)

source_hosts = Table(
    "source_hosts",
    metadata,
    Column("host", Text, primary_key=True),
    Column("held_until", Double, nullable=False),
    Column("because", Text),
    count_column("failures"),
)

pace_hours = Table(
    "pace_hours",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("octets", BigInteger, nullable=False),
    Index(None, "hour"),
)
