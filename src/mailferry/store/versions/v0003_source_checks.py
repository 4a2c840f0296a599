"""What is known of a source's word, codes in place of passwords, and passwords chosen at the target."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns and the table."""
    for name in ("uses_codes", "push_codes"):
        op.add_column("domains", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("domains", sa.Column("source_blocked_at", sa.Double(), nullable=True))
    op.create_table(
        "source_checks",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("refuses", sa.Boolean(), nullable=False),
        sa.Column("variants", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain"], ["domains.name"], name=op.f("fk_source_checks_domain"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("domain", "protocol", name=op.f("pk_source_checks")),
    )
    for column in (
        sa.Column("verified_over", sa.Text(), nullable=True),
        sa.Column("own_seen_at", sa.Double(), nullable=True),
        sa.Column("own_hash", sa.Text(), nullable=True),
    ):
        op.add_column("passwords", column)
