"""Reads the provider profiles: the program's own TOML files and a site's own folder beside them.

A site's file with the id of one of ours replaces it. The only file of this room that touches the disk.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from mailferry.model.causes import Cause
from mailferry.model.hours import Hours, parse_hours
from mailferry.model.profile import ErrorRule, Profile, SendId

ROLES = frozenset({"sent", "drafts", "trash", "junk", "archive"})
MECHANISMS = frozenset({"PLAIN", "LOGIN"})
LANGUAGES = frozenset({"en", "zh"})

_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")
_KEYS = frozenset(Profile.__dataclass_fields__) - {"profile_id"}
_RULE_KEYS = frozenset({"id", "pattern", "cause", "ambiguous"})


class BadProfile(ValueError):
    """Profile files that cannot be used; `faults` names each file, key and what to write."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


def load_profiles(extra_dir: str | None = None) -> dict[str, Profile]:
    """Return id -> profile, ours and those of `extra_dir`; raises BadProfile with every fault."""
    faults: list[str] = []
    profiles: dict[str, Profile] = {}
    for name, text in (*_own(), *_of_the_site(extra_dir, faults)):
        _take(name, text, profiles, faults)
    if faults:
        raise BadProfile(faults)
    return profiles


def _own() -> list[tuple[str, str]]:
    folder = resources.files("mailferry.providers") / "profiles"
    files = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name
    )
    return [(item.name, item.read_text(encoding="utf-8")) for item in files]


def _of_the_site(extra_dir: str | None, faults: list[str]) -> list[tuple[str, str]]:
    if extra_dir is None:
        return []
    try:
        return [
            (str(path), path.read_text(encoding="utf-8")) for path in sorted(Path(extra_dir).glob("*.toml"))
        ]
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{extra_dir}: {error}")
        return []


def _take(file: str, text: str, profiles: dict[str, Profile], faults: list[str]) -> None:
    profile_id = Path(file).stem
    if not _ID.fullmatch(profile_id):
        faults.append(f"{file}: a profile's file name is its id: small letters, digits and _")
        return
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{file}: not TOML: {error}")
        return
    before = len(faults)
    values = {
        key: _checked(file, key, value, faults) for key, value in table.items() if _known(file, key, faults)
    }
    if "names" not in values:
        faults.append(f"{file}: names is missing")
    if len(faults) == before:
        profiles[profile_id] = Profile(profile_id=profile_id, **values)


def _known(file: str, key: str, faults: list[str]) -> bool:
    if key not in _KEYS:
        faults.append(f"{file}: {key}: unknown key; known are {', '.join(sorted(_KEYS))}")
    return key in _KEYS


def _checked(file: str, key: str, value: Any, faults: list[str]) -> Any:
    try:
        return _READERS[key](value)
    except (ValueError, TypeError, KeyError) as error:
        faults.append(f"{file}: {key}: {error}")
        return None


def _names(value: Any) -> Mapping[str, str]:
    names = {str(language): _text(name) for language, name in _table(value).items()}
    if set(names) != LANGUAGES:
        raise ValueError("write a name for each of en and zh")
    return names


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("write a table")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("write words in quotes")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("write a list")
    return tuple(_text(item) for item in value)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("write true or false")
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError("write a number from 1")
    return value


def _hours(value: Any) -> Hours:
    return parse_hours(_text(value))


def _mechanisms(value: Any) -> tuple[str, ...]:
    order = _texts(value)
    if not order or not set(order) <= MECHANISMS:
        raise ValueError("write PLAIN, LOGIN or both in the order to try")
    return order


def _special(value: Any) -> Mapping[str, tuple[str, ...]]:
    table = {role: _texts(names) for role, names in _table(value).items()}
    if not set(table) <= ROLES:
        raise ValueError(f"roles are {', '.join(sorted(ROLES))}")
    return table


def _command(value: Any) -> str:
    command = _text(value)
    if not command.isascii() or not command.isprintable():
        raise ValueError("a command is one line of ASCII")
    return command


def _rules(value: Any) -> tuple[ErrorRule, ...]:
    if not isinstance(value, list):
        raise TypeError("write [[error_rules]] tables")
    return tuple(_rule(_table(item)) for item in value)


def _rule(table: dict[str, Any]) -> ErrorRule:
    if not set(table) <= _RULE_KEYS or not {"id", "pattern", "cause"} <= set(table):
        raise ValueError("a rule has id, pattern, cause and perhaps ambiguous")
    pattern, cause = _text(table["pattern"]), _text(table["cause"])
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern: {error}") from error
    if cause not in {known.value for known in Cause}:
        raise ValueError(f"{cause} is no cause")
    return ErrorRule(_text(table["id"]), pattern, cause, _yes_or_no(table.get("ambiguous", False)))


_READERS = {
    "names": _names,
    "send_id": SendId,
    "login_literals": _yes_or_no,
    "auth_order": _mechanisms,
    "max_command_octets": _number,
    "skip_mailboxes": _texts,
    "special_mailboxes": _special,
    "strip_parents": _texts,
    "keepalive_command": _command,
    "max_connections": _number,
    "host_connections": _number,
    "bytes_per_day": _number,
    "host_bytes_per_day": _number,
    "commands_per_minute": _number,
    "host_commands_per_minute": _number,
    "copy_hours": _hours,
    "error_rules": _rules,
}
