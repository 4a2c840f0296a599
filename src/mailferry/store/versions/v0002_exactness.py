"""What exactness needs to know: traits of messages under way, deletions by mailbox, and remarks on an account's copy."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ANY_MAILBOX = b""


def upgrade() -> None:
    """Make the new tables and columns; deletions seen so far are nobody's mailbox's."""
    op.add_column("intents", sa.Column("traits", sa.LargeBinary(), nullable=True))
    op.add_column("intents", sa.Column("examined", sa.Boolean(), server_default=sa.false(), nullable=False))
    _remarks()
    _deletions()


def _remarks() -> None:
    op.create_table(
        "remarks",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("first_at", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_remarks_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remarks")),
        sa.UniqueConstraint("account_id", "kind", "subject", name=op.f("uq_remarks_account_id_kind_subject")),
    )


def _deletions() -> None:
    op.create_table(
        "deletions_told",
        sa.Column("session_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailbox", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_deletions_told_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", "mailbox", name=op.f("pk_deletions_told")),
    )
    op.create_table(
        "deletions_seen",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailbox", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_deletions_seen_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "mailbox", name=op.f("pk_deletions_seen")),
    )
    any_mailbox = sa.bindparam("any_mailbox", _ANY_MAILBOX, sa.LargeBinary())
    for table, key, old in (
        ("deletions_seen", "account_id", "accounts"),
        ("deletions_told", "session_id", "sessions"),
    ):
        statement = (
            f"INSERT INTO {table} ({key}, mailbox, number) "  # noqa: S608 - names of ours
            f"SELECT id, :any_mailbox, {table} FROM {old} WHERE {table} > 0"
        )
        op.get_bind().execute(sa.text(statement).bindparams(any_mailbox))
    op.drop_column("accounts", "deletions_seen")
    op.drop_column("sessions", "deletions_told")
