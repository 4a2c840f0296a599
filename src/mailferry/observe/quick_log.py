"""The short way of a log line that nothing else wants to see: one dictionary, one rendering, one write.

A line's way through structlog and the standard library costs more than the login that it tells of. So where
the pipe stands as `configure_log` laid it (one handler, nobody else listening), lines below warnings that carry
no exception are rendered here, to the same octets; every other line takes the long way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from mailferry.observe.one_line import NUMBERS, as_it_is

Event = MutableMapping[str, Any]


class Pipe:
    """Where the lines of this process go, and how they look there; `processors` are structlog's, to be left alone."""

    __slots__ = ("_first", "_handler", "_processors", "_render", "_role", "_root", "_tame")

    def __init__(
        self,
        handler: logging.StreamHandler[TextIO],
        processors: list[Processor],
        *,
        role: str,
        tame: Callable[[object], object],
        render: Callable[[Event], str],
    ) -> None:
        self._handler = handler
        self._root = logging.getLogger()
        self._processors = processors
        self._first = processors[0]
        self._role = role
        self._tame = tame
        self._render = render

    @property
    def alone(self) -> bool:
        """Whether nobody but our handler hears a line: no test's capture, here or in structlog."""
        handlers = self._root.handlers
        processors = self._processors
        return (
            len(handlers) == 1
            and handlers[0] is self._handler
            and bool(processors)
            and processors[0] is self._first
        )

    def write(self, level: str, logger: str, event: str, values: dict[str, Any]) -> None:
        """Write one line; what goes wrong is told as the standard library tells it."""
        values["event"] = event
        tame = self._tame
        for key, value in values.items():
            kind = type(value)
            if kind not in NUMBERS and (kind is not str or not as_it_is(value)):
                values[key] = tame(value)
        values["level"] = level  # these are our own words
        values["logger"] = logger
        values["timestamp"] = datetime.now(UTC).isoformat()[:-6] + "Z"
        if self._role:
            values["role"] = self._role
        line = self._render(values) + "\n"
        handler = self._handler
        handler.acquire()
        try:
            handler.stream.write(line)
            handler.stream.flush()
        except Exception:  # loop edge: a log that cannot be written ends nothing
            handler.handleError(logging.LogRecord(logger, logging.ERROR, "", 0, event, None, None))
        finally:
            handler.release()


_pipe: Pipe | None = None


def lay(pipe: Pipe | None) -> None:
    """Make this the process's pipe."""
    global _pipe  # noqa: PLW0603 - a process has one log
    _pipe = pipe


class QuickLog:
    """A logger of one part of the program, as structlog's, quick where that is possible."""

    __slots__ = ("_bound", "_levels", "_long", "_name")

    def __init__(self, name: str, bound: dict[str, Any] | None = None) -> None:
        self._name = name
        self._bound = bound or {}
        self._levels = logging.getLogger(name)
        long = structlog.stdlib.get_logger(name)
        self._long = long.bind(**bound) if bound else long

    def __getattr__(self, name: str) -> Any:
        return getattr(self._long, name)

    def bind(self, **values: Any) -> QuickLog:
        """Return the logger that puts these values on each line."""
        return QuickLog(self._name, {**self._bound, **values})

    def debug(self, event: str, *args: Any, **values: Any) -> None:
        """Tell what only somebody who looks for a fault wants to read."""
        if self._levels.isEnabledFor(logging.DEBUG):
            self._tell("debug", event, args, values)

    def info(self, event: str, *args: Any, **values: Any) -> None:
        """Tell what happened."""
        if self._levels.isEnabledFor(logging.INFO):
            self._tell("info", event, args, values)

    def _tell(self, level: str, event: str, args: tuple[Any, ...], values: dict[str, Any]) -> None:
        pipe = _pipe
        if pipe is None or args or "exc_info" in values or not pipe.alone:
            getattr(self._long, level)(event, *args, **values)
        else:
            pipe.write(level, self._name, event, {**self._bound, **values})
