"""Words that mean something to a database: pieces of statements, quotes, patterns, parameters."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = (
    "'", "''", '"', "`", "\\", "\\'", ";", "--", "/*", "*/", "#", "%", "_", "%%", "?", "$1", "$$", ":address",
    ":hash", ":1", "%s", "%(address)s", "{0}", "||", "(", ")", " or 1=1", " OR '1'='1", "' or ''='", "') or ('1'='1",
    "; drop table mailbox", "; DROP TABLE accounts; --", " union select 1", "' union select password from mailbox--",
    "'||(select password from mailbox)||'", "chr(39)", "char(39)", "0x27", "\\x27", "e'\\''", "u&'\\0027'", "null",
    "\u02bc", "\uff07", "\u2019", "\u4e00", "\x1a", "\x7f", " ", "\t", "pg_sleep(9)", "randomblob(99999999)",
)  # fmt: skip
"""Quotes of other alphabets are among them: a driver or a collation could take them for the plain one."""


def sql_texts() -> st.SearchStrategy[str]:
    """Return texts of such pieces, with anything else that a table can hold between them."""
    anything = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
    return st.lists(st.sampled_from(PIECES) | anything, min_size=1, max_size=5).map("".join)
