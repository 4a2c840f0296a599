"""The first version of all tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ZERO = sa.text("0")


def upgrade() -> None:
    """Create the tables; those that others refer to come first."""
    _audit()
    _domains()
    _flips()
    _nodes()
    _sign_ins()
    _wrong_tries()
    _window_numbers()
    _accounts()
    _samples()
    _history()
    _mailboxes()
    _passwords()
    _refused_passwords()
    _sessions()
    _uidl_facts()
    _uidl_map()
    _intents()
    _ledger_blocks()
    _skipped()


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_subject"), "audit", ["subject"], unique=False)


def _domains() -> None:
    op.create_table(
        "domains",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source_imap", sa.Text(), nullable=True),
        sa.Column("source_pop3", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("target_imap", sa.Text(), nullable=True),
        sa.Column("target_pop3", sa.Text(), nullable=True),
        sa.Column("window_days", sa.Integer(), nullable=False),
        sa.Column("window_opened_at", sa.Double(), nullable=False),
        sa.Column("window_ends_at", sa.Double(), nullable=False),
        sa.Column("window_number", sa.Integer(), nullable=False),
        sa.Column("window_over_for", sa.Double(), server_default=_ZERO, nullable=False),
        sa.Column("login_form", sa.Text(), nullable=False),
        sa.Column("switch", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("accept_plaintext", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("push_from_plaintext", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("added_at", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "source_imap IS NOT NULL OR source_pop3 IS NOT NULL", name=op.f("ck_domains_a_source")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_domains")),
    )


def _flips() -> None:
    op.create_table(
        "flips",
        sa.Column("id", _ID, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("logged", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flips")),
        sa.UniqueConstraint("address", "epoch", name=op.f("uq_flips_address_epoch")),
    )
    op.create_index("ix_flips_unlogged", "flips", ["logged", "id"], unique=False)


def _nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("renewed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
        sqlite_autoincrement=True,
    )


def _sign_ins() -> None:
    op.create_table(
        "sign_ins",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("added_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sign_ins")),
    )


def _wrong_tries() -> None:
    op.create_table(
        "wrong_tries",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_key", sa.LargeBinary(), nullable=False),
        sa.Column("password_key", sa.LargeBinary(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("known", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wrong_tries")),
    )
    op.create_index(op.f("ix_wrong_tries_account_key_at"), "wrong_tries", ["account_key", "at"], unique=False)
    op.create_index(op.f("ix_wrong_tries_at"), "wrong_tries", ["at"], unique=False)
    op.create_index(op.f("ix_wrong_tries_source_at"), "wrong_tries", ["source", "at"], unique=False)


def _window_numbers() -> None:
    op.create_table(
        "window_numbers",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_window_numbers")),
    )


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("source_login", sa.Text(), nullable=True),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.Double(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=True),
        sa.Column("first_trigger_at", sa.Double(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("last_result", sa.Text(), nullable=True),
        sa.Column("last_run_ended_at", sa.Double(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("cause_text", sa.Text(), nullable=True),
        sa.Column("next_retry_at", sa.Double(), nullable=True),
        sa.Column("failed_runs", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("total", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("copied", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("skipped", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("bytes_total", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("bytes_copied", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("completeness", sa.Text(), nullable=True),
        sa.Column("used_pop3", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("bypass_changes", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("bypass_last_at", sa.Double(), nullable=True),
        sa.Column("deletions_seen", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("approved_at", sa.Double(), nullable=True),
        sa.Column("cutover_wanted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("drain_until", sa.Double(), nullable=True),
        sa.Column("freeze_until", sa.Double(), nullable=True),
        sa.Column("freeze_overruns", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("sweep_asked_at", sa.Double(), nullable=True),
        sa.Column("swept_at", sa.Double(), nullable=True),
        sa.Column("next_due_at", sa.Double(), nullable=True),
        sa.Column("woken_at", sa.Double(), nullable=True),
        sa.Column("lease_node", sa.BigInteger(), nullable=True),
        sa.Column("lease_number", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["domain"], ["domains.name"], name=op.f("fk_accounts_domain")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("address", name=op.f("uq_accounts_address")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_accounts_domain_phase"), "accounts", ["domain", "phase"], unique=False)
    op.create_index(op.f("ix_accounts_freeze_until"), "accounts", ["freeze_until"], unique=False)
    op.create_index(op.f("ix_accounts_lease_node"), "accounts", ["lease_node"], unique=False)
    op.create_index(op.f("ix_accounts_next_due_at"), "accounts", ["next_due_at"], unique=False)


def _samples() -> None:
    op.create_table(
        "samples",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("messages", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("octets", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("late", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("skipped", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("logins", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.ForeignKeyConstraint(
            ["domain"], ["domains.name"], name=op.f("fk_samples_domain"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("domain", "minute", name=op.f("pk_samples")),
    )


def _history() -> None:
    op.create_table(
        "history",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("phase_from", sa.Text(), nullable=False),
        sa.Column("phase_to", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("who", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_history_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
    )
    op.create_index(op.f("ix_history_account_id_id"), "history", ["account_id", "id"], unique=False)


def _mailboxes() -> None:
    op.create_table(
        "mailboxes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source_name", sa.LargeBinary(), nullable=False),
        sa.Column("source_uidvalidity", sa.BigInteger(), nullable=True),
        sa.Column("source_uidnext", sa.BigInteger(), nullable=True),
        sa.Column("source_highestmodseq", sa.BigInteger(), nullable=True),
        sa.Column("source_exists", sa.BigInteger(), nullable=True),
        sa.Column("source_octets", sa.BigInteger(), nullable=True),
        sa.Column("target_name", sa.LargeBinary(), nullable=False),
        sa.Column("target_uidvalidity", sa.BigInteger(), nullable=True),
        sa.Column("target_uidnext", sa.BigInteger(), nullable=True),
        sa.Column("target_highestmodseq", sa.BigInteger(), nullable=True),
        sa.Column("target_exists", sa.BigInteger(), nullable=True),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("subscribed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("gone", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("checked_at", sa.Double(), nullable=True),
        sa.Column("held_deletions", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_mailboxes_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailboxes")),
        sa.UniqueConstraint("account_id", "source_name", name=op.f("uq_mailboxes_account_id_source_name")),
        sqlite_autoincrement=True,
    )


def _passwords() -> None:
    op.create_table(
        "passwords",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("password_epoch", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.Column("verifier", sa.Text(), nullable=True),
        sa.Column("verified_at", sa.Double(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_window", sa.Integer(), nullable=True),
        sa.Column("pushed_hash", sa.Text(), nullable=True),
        sa.Column("pushed_at", sa.Double(), nullable=True),
        sa.Column("proved_at", sa.Double(), nullable=True),
        sa.Column("target_wins", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("sealed_by_import", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("tries_forgotten_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_passwords_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_passwords")),
    )


def _refused_passwords() -> None:
    op.create_table(
        "refused_passwords",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_refused_passwords_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_passwords")),
    )
    op.create_index(
        op.f("ix_refused_passwords_account_id"), "refused_passwords", ["account_id"], unique=False
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node_id", sa.BigInteger(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("resting", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("deletions_told", sa.BigInteger(), server_default=_ZERO, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_sessions_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["node_id"], ["nodes.id"], name=op.f("fk_sessions_node_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sessions_account_id"), "sessions", ["account_id"], unique=False)
    op.create_index(op.f("ix_sessions_node_id"), "sessions", ["node_id"], unique=False)


def _uidl_facts() -> None:
    op.create_table(
        "uidl_facts",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("uidl", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_uidl_facts_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "side", "uidl", name=op.f("pk_uidl_facts")),
        sqlite_with_rowid=False,
    )


def _uidl_map() -> None:
    op.create_table(
        "uidl_map",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("source_uidl", sa.LargeBinary(), nullable=True),
        sa.Column("target_uidl", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "source_uidl IS NOT NULL OR target_uidl IS NOT NULL", name=op.f("ck_uidl_map_a_side")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_uidl_map_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uidl_map")),
        sa.UniqueConstraint("account_id", "source_uidl", name=op.f("uq_uidl_map_account_id_source_uidl")),
        sa.UniqueConstraint("account_id", "target_uidl", name=op.f("uq_uidl_map_account_id_target_uidl")),
    )


def _intents() -> None:
    op.create_table(
        "intents",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("target_name", sa.LargeBinary(), nullable=False),
        sa.Column("target_uidvalidity", sa.BigInteger(), nullable=False),
        sa.Column("target_uidnext", sa.BigInteger(), nullable=False),
        sa.Column("source_uidvalidity", sa.BigInteger(), nullable=True),
        sa.Column("source_uids", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_intents_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["mailbox_id"], ["mailboxes.id"], name=op.f("fk_intents_mailbox_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intents")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_intents_account_id"), "intents", ["account_id"], unique=False)
    op.create_index(op.f("ix_intents_mailbox_id"), "intents", ["mailbox_id"], unique=False)


def _ledger_blocks() -> None:
    op.create_table(
        "ledger_blocks",
        sa.Column("mailbox_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("low_uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["mailbox_id"], ["mailboxes.id"], name=op.f("fk_ledger_blocks_mailbox_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mailbox_id", "low_uid", name=op.f("pk_ledger_blocks")),
    )


def _skipped() -> None:
    op.create_table(
        "skipped",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), nullable=False),
        sa.Column("source_uid", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_skipped_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["mailbox_id"], ["mailboxes.id"], name=op.f("fk_skipped_mailbox_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skipped")),
        sa.UniqueConstraint("mailbox_id", "source_uid", name=op.f("uq_skipped_mailbox_id_source_uid")),
    )
    op.create_index(op.f("ix_skipped_account_id_id"), "skipped", ["account_id", "id"], unique=False)
