"""Stores as earlier versions left them: tables made by each version's own steps, rows written as plain SQL."""

from __future__ import annotations

from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

Dump = dict[str, list[tuple[Any, ...]]]

_NOW = 1_800_000_000.0
_ROWS: dict[str, list[dict[str, Any]]] = {
    "domains": [
        {
            "name": "a.test", "source_imap": "imaps://old.test", "provider": "generic", "window_days": 30,
            "window_opened_at": _NOW, "window_ends_at": _NOW + 9, "window_number": 3, "login_form": "full",
            "added_at": _NOW, "switch": "when-copied", "language": "both",
        },
        {
            "name": "b.test", "source_pop3": "pop3s://old.test", "provider": "dovecot", "window_days": 1,
            "window_opened_at": _NOW, "window_ends_at": _NOW + 9, "window_number": 1, "login_form": "local",
            "added_at": _NOW, "switch": "at-once", "language": "zh", "accept_plaintext": True,
        },
    ],
    "window_numbers": [{"domain": "a.test", "last": 3}],
    "nodes": [
        {"id": 4, "role": "proxy", "host": "h", "boot_id": "b", "pid": 7, "started_at": _NOW, "renewed_at": _NOW}
    ],
    "accounts": [
        {
            "id": 1, "address": "x@a.test", "domain": "a.test", "phase": "PRECOPY", "epoch": 2, "added_at": _NOW,
            "total": 10, "copied": 7, "skipped": 1, "cause": "server_down", "cause_text": "gone \u4e2d",
            "lease_number": 5, "paused": True,
        },
        {
            "id": 2, "address": "y@b.test", "domain": "b.test", "phase": "SWITCHED", "epoch": 9, "added_at": _NOW,
            "finished_at": _NOW, "used_pop3": True, "source_login": "y",
        },
        {"id": 9, "address": "z@b.test", "domain": "b.test", "phase": "IDLE", "epoch": 0, "added_at": _NOW},
    ],
    "history": [
        {
            "id": 1, "account_id": 2, "at": _NOW, "event": "flipped", "phase_from": "FREEZE",
            "phase_to": "SWITCHED", "epoch": 9, "who": "cli:anna",
        }
    ],
    "flips": [{"id": 3, "address": "y@b.test", "epoch": 9, "phase": "SWITCHED", "at": _NOW, "logged": True}],
    "passwords": [
        {"account_id": 1, "password_epoch": 4, "verifier": "v", "sealed": b"\0\xffsealed", "sealed_window": 3},
        {"account_id": 2, "pushed_hash": "{SSHA512}x", "pushed_at": _NOW, "proved_at": _NOW},
    ],
    "refused_passwords": [{"id": 1, "account_id": 1, "verifier": "w", "at": _NOW}],
    "wrong_tries": [
        {"id": 1, "account_key": b"\1", "password_key": b"\2", "source": "192.0.2.1", "at": _NOW, "known": True}
    ],
    "mailboxes": [
        {
            "id": 11, "account_id": 1, "source_name": b"INBOX", "target_name": b"INBOX",
            "source_uidvalidity": 4_294_967_295, "target_uidnext": 8, "subscribed": True, "held_deletions": 2,
        },
        {"id": 12, "account_id": 1, "source_name": b"\xff&-", "target_name": b"Mailbox-1", "gone": True},
        {"id": 13, "account_id": 2, "source_name": b"INBOX", "target_name": b"INBOX"},
    ],
    "intents": [
        {
            "id": 21, "account_id": 1, "mailbox_id": 11, "opened_at": _NOW, "target_name": b"INBOX",
            "target_uidvalidity": 7, "target_uidnext": 8, "source_uids": bytes.fromhex("789c636660600000000c0004"),
        }
    ],
    "ledger_blocks": [
        {"mailbox_id": 11, "low_uid": 1, "version": 3, "entries": 2, "packed": b"\4\0\0\0anything"},
        {"mailbox_id": 13, "low_uid": 5, "version": 1, "entries": 1, "packed": b"\0\xff" * 40},
    ],
    "skipped": [
        {
            "id": 31, "account_id": 1, "mailbox_id": 11, "source_uid": 6, "reason": "too_big", "detail": "NO",
            "size": 99, "tries": 2, "at": _NOW,
        }
    ],
    "sessions": [
        {
            "id": 41, "account_id": 1, "node_id": 4, "protocol": "imap", "side": "source", "client": "192.0.2.9",
            "epoch": 2, "opened_at": _NOW,
        },
        {
            "id": 42, "account_id": 2, "node_id": 4, "protocol": "pop3", "side": "target", "client": "192.0.2.9",
            "epoch": 9, "opened_at": _NOW,
        },
    ],
    "samples": [{"domain": "a.test", "minute": 30_000_000, "messages": 7, "logins": 3}],
    "audit": [{"id": 1, "at": _NOW, "who": "cli:anna", "what": "domain.add", "subject": "a.test"}],
    "sign_ins": [{"name": "root", "verifier": "v", "added_at": _NOW}],
}  # fmt: skip
"""What every version has, by table; columns that are left out take what the version gives them."""

_SINCE: dict[str, dict[str, list[dict[str, Any]]]] = {
    "0001": {
        "uidl_facts": [
            {"account_id": 1, "side": "source", "uidl": b"u1", "digest": b"d" * 16, "uid": 1},
            {"account_id": 1, "side": "source", "uidl": b"u2", "digest": b"e" * 16},
            {"account_id": 1, "side": "target", "uidl": b"\xff1", "digest": b"f" * 16, "uid": 101},
            {"account_id": 2, "side": "source", "uidl": b"u1", "digest": b"g" * 16, "uid": 3},
        ],
        "uidl_map": [
            {"id": 1, "account_id": 2, "position": 1, "source_uidl": b"u9", "target_uidl": None},
            {"id": 2, "account_id": 2, "position": 0, "source_uidl": b"u1", "target_uidl": b"t1"},
            {"id": 3, "account_id": 2, "position": 2, "source_uidl": None, "target_uidl": b"t2"},
        ],
    },
    "0002": {
        "remarks": [
            {
                "id": 1, "account_id": 1, "kind": "doubled", "subject": b"", "number": 3, "first_at": _NOW,
                "at": _NOW,
            }
        ],
        "deletions_seen": [{"account_id": 2, "mailbox": b"INBOX", "number": 4}],
        "deletions_told": [{"session_id": 42, "mailbox": b"INBOX", "number": 5}],
    },
    "0003": {
        "source_checks": [
            {"domain": "a.test", "protocol": "imap", "server": "old.test", "at": _NOW, "refuses": True}
        ],
    },
    "0004": {
        "uidl_blocks": [{"account_id": 1, "kind": "source", "block": 0, "entries": 1, "packed": b"\0x"}],
        "uidl_maps": [{"account_id": 2, "entries": 3, "packed": b"\0y"}],
        "maildrops": [{"account_id": 2, "fingerprint": b"f", "shown": 3, "next_login_at": _NOW}],
        "source_hosts": [{"host": "old.test", "held_until": _NOW, "because": "busy", "failures": 2}],
        "pace_hours": [{"subject": "old.test", "hour": 500_000, "octets": 2**40}],
    },
    "0005": {
        "sign_in_domains": [{"name": "root", "domain": "a.test"}],
        "api_tokens": [
            {"id": 6, "name": "t", "digest": b"d", "scopes": "read", "added_by": "anna", "added_at": _NOW}
        ],
        "notices": [
            {
                "id": 8, "domain": "b.test", "account_id": 2, "audience": "user", "kind": "done", "subject": "2",
                "made_at": _NOW, "sent_at": _NOW,
            }
        ],
        "known_networks": [{"network": b"\0n", "seen_at": _NOW}],
    },
}  # fmt: skip
"""What came with each version; a table that a later version dropped is left out there."""
_UPDATES: dict[str, list[str]] = {
    "0001": [
        "UPDATE accounts SET deletions_seen = 3 WHERE id = 1",
        "UPDATE sessions SET deletions_told = 2 WHERE id = 41",
    ],
    "0002": ["UPDATE intents SET examined = true"],
    "0003": [
        "UPDATE domains SET uses_codes = true, source_blocked_at = 7",
        "UPDATE passwords SET own_hash = 'o'",
    ],
    "0004": ["UPDATE accounts SET source_wanted_at = 8"],
    "0005": [
        "UPDATE domains SET only_listed = true, notices = ''",
        "UPDATE sign_ins SET role = 'reader'",
    ],
}
"""Columns that came with each version."""


def to_version(conn: Connection, version: str) -> None:
    """Bring the tables to a version by the versions' own steps."""
    config = Config()
    config.set_main_option("script_location", "mailferry:store")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    command.upgrade(config, version)


def fill(conn: Connection, version: str) -> None:
    """Write rows into every table that `version` has."""
    there = set(inspect(conn).get_table_names())
    for table, rows in _ROWS.items():
        _insert(conn, table, rows)
    for since in sorted(one for one in _SINCE if one <= version):
        for table, rows in _SINCE[since].items():
            if table in there:
                _insert(conn, table, rows)
        if since != "0001" or version == "0001":
            for statement in _UPDATES[since]:
                conn.execute(text(statement))
    empty = [
        table
        for table in there - {"alembic_version"}
        if not conn.execute(text(f"SELECT 1 FROM {table}")).first()
    ]
    assert not empty, f"no rows for {empty}"


def _insert(conn: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        names, places = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
        conn.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), row)


def dump(conn: Connection) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table."""
    found = {}
    for table in sorted(inspect(conn).get_table_names()):
        rows = [dict(row) for row in conn.execute(text(f"SELECT * FROM {table}")).mappings()]
        found[table] = sorted(rows, key=repr)
    return found


def shape(conn: Connection) -> dict[str, Any]:
    """Return every table's columns and indexes."""
    seen = inspect(conn)
    return {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in seen.get_columns(table)],
            sorted(str(index["name"]) for index in seen.get_indexes(table)),
        )
        for table in sorted(seen.get_table_names())
    }
