"""UIDLs packed, what is known of a maildrop, and the pace at which sources are copied from."""

from __future__ import annotations

from itertools import groupby

import sqlalchemy as sa
from alembic import op

from mailferry.store import uidls
from mailferry.store.uidls import FactsOf, MappedUidl, UidlFact

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the new tables, carry the old UIDLs over, drop the tables that held them."""
    _packed_uidls()
    _carry_over(op.get_bind())
    op.drop_table("uidl_map")
    op.drop_table("uidl_facts")
    _maildrops()
    _pace()


def _account(table: str) -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    return (
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f(f"fk_{table}_account_id"), ondelete="CASCADE"
        ),
    )


def _packed_uidls() -> None:
    column, key = _account("uidl_blocks")
    op.create_table(
        "uidl_blocks",
        column,
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        key,
        sa.PrimaryKeyConstraint("account_id", "kind", "block", name=op.f("pk_uidl_blocks")),
    )
    column, key = _account("uidl_maps")
    op.create_table(
        "uidl_maps",
        column,
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        key,
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_uidl_maps")),
    )


def _carry_over(conn: sa.Connection) -> None:
    facts = conn.execute(
        sa.text(
            "SELECT account_id, side, uidl, digest, uid FROM uidl_facts ORDER BY account_id, side, uid, uidl"
        )
    ).all()
    for (account_id, side), learnt in groupby(facts, key=lambda row: (row.account_id, row.side)):
        known = [UidlFact(row.uidl, row.digest if row.uid is None else b"", row.uid) for row in learnt]
        uidls.learn(conn, account_id, FactsOf(side), known)
    maps = conn.execute(
        sa.text("SELECT account_id, source_uidl, target_uidl FROM uidl_map ORDER BY account_id, position, id")
    ).all()
    for account_id, rows in groupby(maps, key=lambda row: row.account_id):
        drawn = uidls.pack_map([MappedUidl(row.source_uidl, row.target_uidl) for row in rows])
        uidls.save_map(conn, account_id, drawn)


def _maildrops() -> None:
    column, key = _account("maildrops")
    counts = ("shown", "paired", "waiting", "left_out", "unpaired", "hidden", "renumbered")
    op.create_table(
        "maildrops",
        column,
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("lonely", sa.LargeBinary(), nullable=True),
        sa.Column("looked_at", sa.Double(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in counts),
        sa.Column("login_delay", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_login_at", sa.Double(), nullable=True),
        key,
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_maildrops")),
    )


def _pace() -> None:
    op.add_column("accounts", sa.Column("source_wanted_at", sa.Double(), nullable=True))
    op.create_index(
        op.f("ix_accounts_domain_next_due_at"), "accounts", ["domain", "next_due_at"], unique=False
    )
    op.create_table(
        "source_hosts",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("held_until", sa.Double(), nullable=False),
        sa.Column("because", sa.Text(), nullable=True),
        sa.Column("failures", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_source_hosts")),
    )
    op.create_table(
        "pace_hours",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "hour", name=op.f("pk_pace_hours")),
    )
    op.create_index(op.f("ix_pace_hours_hour"), "pace_hours", ["hour"], unique=False)
