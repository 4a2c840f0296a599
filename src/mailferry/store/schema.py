"""The tables of domains, accounts, processes, sessions and people; `schema_copy` has those of the copy.

What they mean stands in the file of plain functions that bears each table's name.
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
    Table,
    Text,
    UniqueConstraint,
    text,
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
    Column("window_over_for", Double, nullable=False, server_default=ZERO),
    Column("login_form", Text, nullable=False),
    Column("switch", Text, nullable=False),
    Column("language", Text, nullable=False),
    *map(flag_column, ("accept_plaintext", "push_from_plaintext", "paused")),
    Column("added_at", Double, nullable=False),
    *map(flag_column, ("uses_codes", "push_codes")),
    Column("source_blocked_at", Double),
    flag_column("only_listed"),
    Column("notices", Text, nullable=False, server_default=text("'done'")),
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
    count_column("failed_runs"),
    # how far the copy is
    count_column("total"),
    count_column("copied"),
    count_column("skipped"),
    count_column("bytes_total"),
    count_column("bytes_copied"),
    Column("completeness", Text),
    flag_column("used_pop3"),
    count_column("bypass_changes"),
    Column("bypass_last_at", Double),
    # what an administrator said
    flag_column("paused"),
    Column("approved_at", Double),
    # the way to the cutover
    flag_column("cutover_wanted"),
    Column("drain_until", Double),
    Column("freeze_until", Double),
    count_column("freeze_overruns"),
    # late mail
    Column("sweep_asked_at", Double),
    Column("swept_at", Double),
    # who works on it
    Column("next_due_at", Double),
    Column("woken_at", Double),
    Column("source_wanted_at", Double),
    Column("lease_node", BigInteger),
    count_column("lease_number"),
    Column("lease_until", Double),
    # what pages of accounts are walked along (store/account_pages)
    Index(None, "domain", "phase", "address"),
    Index(None, "phase", "address"),
    Index(None, "cause", "address"),
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
    account_column(),
    Column("at", Double, nullable=False),
    Column("event", Text, nullable=False),
    Column("phase_from", Text, nullable=False),
    Column("phase_to", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("cause", Text),
    Column("detail", Text),
    Column("who", Text),
    Index(None, "account_id", "id"),
    Index(None, "at"),
)

flips = Table(
    "flips",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("address", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("phase", Text, nullable=False),
    Column("at", Double, nullable=False),
    flag_column("logged"),
    UniqueConstraint("address", "epoch"),
    Index("ix_flips_unlogged", "logged", "id"),
)

passwords = Table(
    "passwords",
    metadata,
    account_column(primary=True),
    count_column("password_epoch"),
    Column("verifier", Text),
    Column("verified_at", Double),
    Column("sealed", LargeBinary),
    Column("sealed_window", Integer),
    Column("pushed_hash", Text),
    Column("pushed_at", Double),
    Column("proved_at", Double),
    flag_column("target_wins"),
    flag_column("sealed_by_import"),
    Column("tries_forgotten_at", Double),
    Column("verified_over", Text),
    Column("own_seen_at", Double),
    Column("own_hash", Text),
)

refused_passwords = Table(
    "refused_passwords",
    metadata,
    Column("id", BigId, primary_key=True),
    account_column(),
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
    flag_column("known"),
    Index(None, "account_key", "at"),
    Index(None, "source", "at"),
    Index(None, "at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", BigId, primary_key=True),
    account_column(),
    parent_column("node_id", "nodes.id"),
    Column("protocol", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("opened_at", Double, nullable=False),
    flag_column("resting"),
    Index(None, "account_id"),
    Index(None, "node_id"),
    sqlite_autoincrement=True,
)

deletions_told = Table(
    "deletions_told",
    metadata,
    parent_column("session_id", "sessions.id", primary=True),
    Column("mailbox", LargeBinary, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

deletions_seen = Table(
    "deletions_seen",
    metadata,
    account_column(primary=True),
    Column("mailbox", LargeBinary, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

samples = Table(
    "samples",
    metadata,
    Column("domain", Text, ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    count_column("messages"),
    count_column("octets"),
    count_column("late"),
    count_column("skipped"),
    count_column("logins"),
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
    Column("role", Text, nullable=False, server_default=text("'owner'")),
)

sign_in_domains = Table(
    "sign_in_domains",
    metadata,
    Column("name", Text, ForeignKey("sign_ins.name", ondelete="CASCADE"), primary_key=True),
    Column("domain", Text, ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("domain", Text, ForeignKey("domains.name", ondelete="CASCADE")),
    Column("added_by", Text, nullable=False),
    Column("added_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("used_at", Double),
    sqlite_autoincrement=True,
)

notices = Table(
    "notices",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("domain", Text, ForeignKey("domains.name", ondelete="CASCADE"), nullable=False),
    Column("account_id", BigInteger, ForeignKey("accounts.id", ondelete="CASCADE")),
    Column("audience", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text),
    Column("made_at", Double, nullable=False),
    Column("due_at", Double),
    Column("tries", Integer, nullable=False, server_default=ZERO),
    Column("sent_at", Double),
    UniqueConstraint("audience", "kind", "subject"),
    Index(None, "domain"),
    Index(None, "account_id"),
    Index(None, "due_at"),
    sqlite_autoincrement=True,
)

known_networks = Table(
    "known_networks",
    metadata,
    Column("network", LargeBinary, primary_key=True),
    Column("seen_at", Double, nullable=False),
    Index(None, "seen_at"),
)
