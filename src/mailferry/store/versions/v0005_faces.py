"""Roles and tokens, notices, networks that logged in, and domains of which only listed accounts move."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and the tables."""
    op.add_column(
        "domains", sa.Column("only_listed", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column(
        "domains", sa.Column("notices", sa.Text(), server_default=sa.text("'done'"), nullable=False)
    )
    op.add_column("sign_ins", sa.Column("role", sa.Text(), server_default=sa.text("'owner'"), nullable=False))
    _who_may_sign_in()
    _notices()
    op.create_table(
        "known_networks",
        sa.Column("network", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("network", name=op.f("pk_known_networks")),
    )
    op.create_index(op.f("ix_known_networks_seen_at"), "known_networks", ["seen_at"])
    _pages()


def _big_id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _who_may_sign_in() -> None:
    op.create_table(
        "sign_in_domains",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name"], ["sign_ins.name"], name=op.f("fk_sign_in_domains_name"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["domain"], ["domains.name"], name=op.f("fk_sign_in_domains_domain"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("name", "domain", name=op.f("pk_sign_in_domains")),
    )
    op.create_table(
        "api_tokens",
        _big_id(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=True),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("used_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain"], ["domains.name"], name=op.f("fk_api_tokens_domain"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("name", name=op.f("uq_api_tokens_name")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_tokens_digest")),
        sqlite_autoincrement=True,
    )


def _notices() -> None:
    op.create_table(
        "notices",
        _big_id(),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain"], ["domains.name"], name=op.f("fk_notices_domain"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_notices_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("audience", "kind", "subject", name=op.f("uq_notices_audience_kind_subject")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_notices_domain"), "notices", ["domain"])
    op.create_index(op.f("ix_notices_account_id"), "notices", ["account_id"])
    op.create_index(op.f("ix_notices_due_at"), "notices", ["due_at"])


def _pages() -> None:
    """Index what pages of accounts are walked along, and the times that charts ask for."""
    op.drop_index(op.f("ix_accounts_domain_phase"), "accounts")
    op.create_index(op.f("ix_accounts_domain_phase_address"), "accounts", ["domain", "phase", "address"])
    op.create_index(op.f("ix_accounts_phase_address"), "accounts", ["phase", "address"])
    op.create_index(op.f("ix_accounts_cause_address"), "accounts", ["cause", "address"])
    op.create_index(op.f("ix_history_at"), "history", ["at"])
