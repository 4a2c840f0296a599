"""What all tables share: one collection, the names of keys and indexes, the columns that come again and again."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, MetaData, false, text

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

ZERO = text("0")
"""What a count has where nobody wrote one."""


def flag_column(name: str) -> Column[bool]:
    """Return a yes or no that is no unless somebody says so."""
    return Column(name, Boolean, nullable=False, server_default=false())


def count_column(name: str) -> Column[int]:
    """Return a number that begins with nothing."""
    return Column(name, BigInteger, nullable=False, server_default=ZERO)


def parent_column(name: str, key: str, *, primary: bool = False, index: bool | None = None) -> Column[int]:
    """Return a column that names a row without which this one goes too."""
    kind = (BigInteger, ForeignKey(key, ondelete="CASCADE"))
    return Column(name, *kind, nullable=False, primary_key=primary, autoincrement=False, index=index)


def account_column(*, primary: bool = False) -> Column[int]:
    """Return the column that names the account."""
    return parent_column("account_id", "accounts.id", primary=primary)
