"""Checks the values of a profile's facts: each function returns the value, or raises what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from mailferry.model.causes import Cause
from mailferry.model.hours import Hours, parse_hours
from mailferry.model.profile import (
    AfterDnsChange,
    CheckStep,
    Codes,
    Confidence,
    ErrorRule,
    Search,
    SendId,
    Tags,
)
from mailferry.model.server_url import parse_server_url
from mailferry.providers.shared_steps import SHARED_STEPS

Reader = Callable[[Any], Any]
E = TypeVar("E", bound=StrEnum)

ROLES = frozenset({"sent", "drafts", "trash", "junk", "archive"})
MECHANISMS = frozenset({"PLAIN", "LOGIN"})
LANGUAGES = frozenset({"en", "zh"})
ENCODINGS = frozenset({"utf-8", "gbk"})
ID = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")

_HOST_PORT = re.compile(r"[a-z0-9.{}-]+:\d{1,5}")


def names_of(value: Any) -> Mapping[str, str]:
    """Return a name in each language."""
    names = {str(language): text_of(name) for language, name in table_of(value).items()}
    if set(names) != LANGUAGES:
        raise ValueError("write a name for each of en and zh")
    return names


def table_of(value: Any) -> dict[str, Any]:
    """Return a table."""
    if not isinstance(value, dict):
        raise TypeError("write a table")
    return value


def text_of(value: Any) -> str:
    """Return words."""
    if not isinstance(value, str) or not value:
        raise TypeError("write words in quotes")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("write a list")
    return tuple(text_of(item) for item in value)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("write true or false")
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError("write a number from 1")
    return value


def _days(value: Any) -> int:
    return 0 if value == 0 and not isinstance(value, bool) else _number(value)


def _hours(value: Any) -> Hours:
    return parse_hours(text_of(value))


def _one_of(kind: type[E]) -> Callable[[Any], E]:
    def read(value: Any) -> E:
        word = text_of(value)
        if word not in set(kind):
            raise ValueError(f"{word!r}: write one of {', '.join(kind)}")
        return kind(word)

    return read


def _mechanisms(value: Any) -> tuple[str, ...]:
    order = _texts(value)
    if not order or not set(order) <= MECHANISMS:
        raise ValueError("write PLAIN, LOGIN or both in the order to try")
    return order


def _special(value: Any) -> Mapping[str, tuple[str, ...]]:
    table = {role: _texts(names) for role, names in table_of(value).items()}
    if not set(table) <= ROLES:
        raise ValueError(f"roles are {', '.join(sorted(ROLES))}")
    return table


def _command(value: Any) -> str:
    command = text_of(value)
    if not command.isascii() or not command.isprintable():
        raise ValueError("a command is one line of ASCII")
    return command


def _encoding(value: Any) -> str:
    if value not in ENCODINGS:
        raise ValueError(f"write one of {', '.join(sorted(ENCODINGS))}")
    return text_of(value)


def _pattern(value: Any) -> str:
    pattern = text_of(value)
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern: {error}") from error
    return pattern


def _patterns(value: Any) -> tuple[str, ...]:
    return tuple(_pattern(item) for item in _texts(value))


def _host_names(value: Any) -> tuple[str, ...]:
    names = _texts(value)
    wrong = [name for name in names if name != name.lower() or name.strip(".") != name or "*" in name]
    if wrong:
        raise ValueError(f"{wrong[0]!r}: write host names in small letters, without * and outer dots")
    return names


def _servers(value: Any) -> tuple[str, ...]:
    urls = _texts(value)
    for url in urls:
        parse_server_url(url.replace("{domain}", "example.com"))
    return urls


def _host_ports(value: Any) -> tuple[str, ...]:
    found = _texts(value)
    wrong = [one for one in found if not _HOST_PORT.fullmatch(one)]
    if wrong:
        raise ValueError(f"{wrong[0]!r}: write host:port")
    return found


def _login_forms(value: Any) -> tuple[str, ...]:
    forms = _texts(value)
    wrong = [form for form in forms if form not in {"full", "local"} and "{local}" not in form]
    if wrong or not forms:
        raise ValueError("write full, local, or a template with {local}")
    return forms


def _rules(value: Any) -> tuple[ErrorRule, ...]:
    return tuple(_rule(table_of(item)) for item in _list(value))


def _rule(table: dict[str, Any]) -> ErrorRule:
    _only(table, {"id", "pattern", "cause", "confidence"}, {"ambiguous"})
    cause = text_of(table["cause"])
    if cause not in set(Cause):
        raise ValueError(f"{cause} is no cause")
    ambiguous = _yes_or_no(table.get("ambiguous", False))
    return ErrorRule(text_of(table["id"]), _pattern(table["pattern"]), cause, ambiguous, _sure(table))


def _steps(value: Any) -> tuple[CheckStep, ...]:
    steps = tuple(_step(table_of(item)) for item in _list(value))
    if len({step.step_id for step in steps}) != len(steps):
        raise ValueError("each step has an id of its own")
    return steps


def _step(table: dict[str, Any]) -> CheckStep:
    shared = SHARED_STEPS.get(str(table.get("id")))
    if shared is not None and "en" not in table and "zh" not in table:
        _only(table, {"id", "confidence"}, set())
        return CheckStep(text_of(table["id"]), shared.en, shared.zh, _sure(table))
    _only(table, {"id", "en", "zh", "confidence"}, set())
    return CheckStep(text_of(table["id"]), text_of(table["en"]), text_of(table["zh"]), _sure(table))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("write a list of tables")
    return value


def _only(table: dict[str, Any], must: set[str], may: set[str]) -> None:
    if not must <= set(table) <= must | may:
        behind = f" and perhaps {', '.join(sorted(may))}" if may else ""
        raise ValueError(f"each one has {', '.join(sorted(must))}{behind}")


def _sure(table: dict[str, Any]) -> Confidence:
    confidence = _one_of(Confidence)(table["confidence"])
    if confidence is Confidence.UNKNOWN:
        raise ValueError("what is unknown is left out of a list")
    return confidence


READERS: Mapping[str, Reader] = {
    "mx_patterns": _patterns,
    "spf_includes": _host_names,
    "host_suffixes": _host_names,
    "greeting_patterns": _patterns,
    "capability_tokens": _texts,
    "id_patterns": _patterns,
    "only_domains": _host_names,
    "imap_hosts": _servers,
    "pop3_hosts": _servers,
    "smtp_hosts": _host_ports,
    "password_login": _yes_or_no,
    "login_forms": _login_forms,
    "codes": _one_of(Codes),
    "send_id": _one_of(SendId),
    "login_literals": _yes_or_no,
    "auth_order": _mechanisms,
    "tags": _one_of(Tags),
    "max_command_octets": _number,
    "search": _one_of(Search),
    "exact_sizes": _yes_or_no,
    "text_encoding": _encoding,
    "keepalive_command": _command,
    "visibility_window_days": _days,
    "skip_mailboxes": _texts,
    "special_mailboxes": _special,
    "strip_parents": _texts,
    "placeholder_patterns": _patterns,
    "max_connections": _number,
    "host_connections": _number,
    "bytes_per_day": _number,
    "host_bytes_per_day": _number,
    "commands_per_minute": _number,
    "host_commands_per_minute": _number,
    "copy_hours": _hours,
    "append_octets": _number,
    "smtp_saves_sent": _yes_or_no,
    "after_dns_change": _one_of(AfterDnsChange),
    "error_rules": _rules,
    "checklist": _steps,
}
"""Fact to what reads its value; one for each."""
