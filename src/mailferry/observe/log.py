"""The program's log: one event, one line, as text or JSON, on standard output.

Every line carries the time (UTC), the role, the level, the event and, where it belongs to one, the
session id. Values are escaped to one line, mail addresses are shaded wherever they stand, and
octets are never written. Twisted, SQLAlchemy, uvicorn and warnings go through the same pipe.

    log = get_log("gate")
    log.info("login", session=sid, account=shown_address(address), verdict="accepted")
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger
from twisted.logger import STDLibLogObserver, globalLogBeginner

from mailferry.observe.one_line import NUMBERS, SHORT, AddressShade, as_it_is, one_line
from mailferry.observe.quick_log import Pipe, QuickLog, lay

Log = FilteringBoundLogger
LogFormat = Literal["text", "json"]

_KEY_OCTETS = 32
_NEEDS_QUOTES = re.compile(r'[ "=]')
_shade = AddressShade(secrets.token_bytes(_KEY_OCTETS))  # until a start-up gives the lasting key
_twisted_began = False
_AS_JSON = json.JSONEncoder(ensure_ascii=False)

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]

_HEAD = ("timestamp", "level", "role", "logger", "event")
_FIRST = frozenset({*_HEAD, "session"})


def session_id() -> str:
    """Return a fresh id for one client session: 10 letters and digits that nobody can foresee."""
    bits = int.from_bytes(os.urandom(7), "big")
    return "".join([_PAIRS[bits >> shift & 1023] for shift in (0, 10, 20, 30, 40)])


def shown_address(address: str) -> str:
    """Return `address` as logs may show it: two letters and a keyed hash."""
    return _shade.shown(address)


def get_log(name: str) -> Log:
    """Return the logger of one part of the program; `.bind(session=...)` puts an id on each line."""
    return cast("Log", QuickLog(name))


class _OwnStream(logging.StreamHandler[TextIO]):
    """Where lines go, until nobody reads them any more or the disk is full: that ends nothing and needs no trace."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def configure_log(
    log_format: LogFormat = "text",
    level: str = "info",
    *,
    role: str = "",
    address_key: bytes | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send all logging of this process to `stream` (standard output) in `log_format`.

    `address_key` is the lasting key of the hashes that stand for addresses; without one they hold
    for this process only. Called once after each fork; calling it again replaces the settings.
    """
    global _shade  # noqa: PLW0603 - a process has one log
    if address_key is not None:
        _shade = AddressShade(address_key)
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_role(role),
        structlog.processors.format_exc_info,
        _tame,
    ]
    processors: list[Processor] = [
        structlog.stdlib.filter_by_level,
        *before,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    structlog.configure(
        processors=processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _OwnStream(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(log_format)],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if not type(old).__module__.startswith("_pytest"):  # a test's own capture stays
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    render = _AS_JSON.encode if log_format == "json" else _as_line
    lay(Pipe(handler, processors, role=role, tame=_tamed, render=render))
    logging.captureWarnings(capture=True)
    _leave_out_what_no_line_shows()
    _quieten()
    hear_twisted()


def hear_twisted() -> None:
    """Have Twisted's lines go the way of ours, from now on; the first call brings what it kept until then."""
    global _twisted_began  # noqa: PLW0603 - a process has one log
    if not _twisted_began:
        globalLogBeginner.beginLoggingTo([STDLibLogObserver(name="twisted")], redirectStandardIO=False)
        _twisted_began = True


def _leave_out_what_no_line_shows() -> None:
    """Spare each line the search for who called, its thread and its task: a quarter of what it costs."""
    logging._srcfile = None  # noqa: SLF001 - as the library's manual says
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _quieten() -> None:
    """Keep libraries from writing at debug level what passes through them (statements, parameters)."""
    for name in ("sqlalchemy", "alembic", "uvicorn", "asyncio", "passlib", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)  # its lines hold addresses in paths
    logging.getLogger("twisted").setLevel(logging.WARNING)  # its information lines name ports and factories


def _with_role(role: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if role:
            event["role"] = role
        return event

    return add


def _tame(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if not key.startswith("_"):
            event[key] = _tamed(value)
    return event


def _tamed(value: object) -> object:
    if type(value) is str and len(value) <= SHORT and "@" not in value and value.isascii():
        return value if value.isprintable() else one_line(value)  # what most values are
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"({len(value)} octets)"  # wire octets may hold a password
    if isinstance(value, Mapping):
        return {one_line(str(key)): _tamed(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_tamed(inner) for inner in value]
    return one_line(_shade.over(str(value)))


def _renderer(log_format: LogFormat) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False, sort_keys=False)
    return _as_text


def _as_text(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> str:
    return _as_line(event)


def _as_line(event: MutableMapping[str, Any]) -> str:
    """Return `time level role logger event key=value ...`, the session id first among the keys."""
    told = [str(event[key]) for key in _HEAD if event.get(key)]
    if "session" in event:
        told.append(f"session={_quoted(event['session'])}")
    for key, value in event.items():
        if key not in _FIRST:
            kind = type(value)
            bare = kind in NUMBERS or (kind is str and as_it_is(value))
            told.append(f"{key}={value if bare else _quoted(value)}")
    return " ".join(told)


def _quoted(value: object) -> str:
    text = value if type(value) is str else str(value)
    if text and _NEEDS_QUOTES.search(text) is None:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
