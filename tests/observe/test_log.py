"""One event, one line; nothing that a stranger wrote can forge, hide or reveal anything in it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger

from mailferry.model.access import Credentials, Secret
from mailferry.observe import log as log_module
from mailferry.observe.log import configure_log, get_log, session_id, shown_address
from mailferry.observe.one_line import AddressShade, one_line
from mailferry.observe.quick_log import Pipe
from tests.kit.canary import canary, search

KEY = b"k" * 32


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield stream
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def as_json(stream: io.StringIO, **options: object) -> None:
    configure_log("json", "debug", stream=stream, address_key=KEY, **options)


def told(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_tells_time_role_level_part_and_session(lines: io.StringIO) -> None:
    as_json(lines, role="proxy")
    get_log("gate").bind(session="abc").info("login", verdict="accepted", seconds=0.25)
    (line,) = told(lines)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "role": "proxy",
        "logger": "gate",
        "event": "login",
        "session": "abc",
        "verdict": "accepted",
        "seconds": 0.25,
    }


def test_a_text_line_reads_from_left_to_right(lines: io.StringIO) -> None:
    configure_log("text", "info", role="proxy", stream=lines)
    get_log("gate").info("login", verdict="accepted", session="abc", why='a "b" = c', empty="")
    time, rest = lines.getvalue().split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'info proxy gate login session=abc verdict=accepted why="a \\"b\\" = c" empty=""\n'


def test_levels_below_the_chosen_one_are_silent(lines: io.StringIO) -> None:
    configure_log("text", "warning", stream=lines)
    get_log("a").info("unheard")
    get_log("a").warning("heard")
    assert lines.getvalue().count("\n") == 1


@pytest.mark.hazard("T27")
@given(st.text(max_size=60))
def test_whatever_a_stranger_typed_one_event_is_one_visible_line(typed: str) -> None:
    before = logging.getLogger().handlers[:]
    for log_format in ("text", "json"):
        stream = io.StringIO()
        try:
            configure_log(log_format, "info", stream=stream)
            get_log("gate").info(
                "login", account=shown_address(typed), text=typed, listed=[typed], k={typed: typed}
            )
        finally:
            for handler in logging.getLogger().handlers[:]:
                if handler not in before:
                    logging.getLogger().removeHandler(handler)
            logging.captureWarnings(capture=False)
        line = stream.getvalue()
        assert line.count("\n") == 1
        assert line.isascii() or all(one_line(letter) == letter for letter in line[:-1])


@pytest.mark.hazard("T27")
@pytest.mark.parametrize(
    "typed", ["a\r\nINFO login ok", "\x1b[2J", "\u202eevil", "\x00", "\u2028", "\x85", "\ud800"]
)
def test_controls_and_direction_marks_are_shown_as_escapes(typed: str) -> None:
    shown = one_line(typed)
    assert shown.isprintable()
    assert "\\" in shown


def test_the_middle_of_a_very_long_text_is_left_out() -> None:
    shown = one_line("a" * 5000 + "b" * 5000)
    assert len(shown) < 6100
    assert "4000 characters" in shown
    assert shown.endswith("b")


def test_addresses_are_shaded_wherever_they_stand(lines: io.StringIO) -> None:
    as_json(lines)
    get_log("gate").warning("x", text="NO user wang.wu@example.cn is unknown", deep={"a": ["li@b.test"]})
    logging.getLogger("library").warning("for %s", "zhao@c.test")
    Logger("twisted").error("for {who}", who="qian@d.test")
    text = lines.getvalue()
    assert "@" not in text
    assert [line["logger"] for line in told(lines)] == ["gate", "library", "twisted"]
    assert shown_address("wang.wu@example.cn") in text


def test_an_address_is_two_letters_and_a_hash_that_needs_the_key() -> None:
    one, other = AddressShade(b"a" * 32), AddressShade(b"b" * 32)
    assert one.shown("zhang@example.com").startswith("zh~")
    assert one.shown("zhang@example.com") == one.shown(" Zhang@Example.com ")
    assert one.shown("zhang@example.com") != other.shown("zhang@example.com")
    assert "zhang" not in one.shown("zhang@example.com")
    assert "aaaa" not in repr(one)


@pytest.mark.hazard("T31")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_password_reaches_a_line_by_any_usual_way(lines: io.StringIO, log_format: str) -> None:
    words = [canary() for _ in range(3)]
    configure_log(log_format, "debug", stream=lines)
    credentials = Credentials("u", Secret(words[0].encode()))
    log = get_log("gate")
    log.debug("one", credentials=credentials, secret=credentials.password, wire=words[1].encode())
    log.info("two", many=[credentials], table={"a": credentials.password})
    try:
        raise RuntimeError(credentials, bytearray(words[2].encode())[:0])
    except RuntimeError:
        log.exception("three")
    assert lines.getvalue().count("\n") == 3
    tokens = [word.split()[1] for word in words]  # which no escaping of quotes can hide
    assert not list(search(lines.getvalue().encode(), [*words, *tokens]))


def test_an_exception_is_told_on_its_line(lines: io.StringIO) -> None:
    as_json(lines)
    try:
        raise ValueError("what happened")
    except ValueError as error:
        get_log("a").error("broke", exc_info=error)
    (line,) = told(lines)
    assert "ValueError: what happened" in line["exception"]


def test_warnings_go_through_the_same_pipe(lines: io.StringIO) -> None:
    as_json(lines)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", UserWarning, stacklevel=1)
    assert "careful" in told(lines)[0]["event"]


VALUES: dict[str, object] = {
    "session": "abc",
    "seconds": 0.25,
    "why": 'NO "li@b.test"\r\nis = 邮件',
    "wire": b"octets",
    "deep": {"a": [None, True, "x y"]},
    "none": None,
}


@pytest.mark.hazard("T27")
@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("role", ["", "proxy"])
def test_the_short_way_writes_the_octets_of_the_long_one(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, log_format: str, role: str
) -> None:
    ways = []
    write = Pipe.write
    monkeypatch.setattr(Pipe, "write", lambda *line: (ways.append(line), write(*line)))
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    configure_log(log_format, "info", role=role, stream=lines, address_key=KEY)
    log = get_log("gate").bind(session="abc")
    log.info("login", **VALUES)
    assert len(ways) == 1
    structlog.stdlib.get_logger("gate").bind(session="abc").info("login", **VALUES)
    assert len(ways) == 1
    short, long = (re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "now", line) for line in lines.getvalue().splitlines())
    assert short == long
    assert "now" in short


def test_whoever_else_listens_hears_a_line_too(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    as_json(lines)
    other = io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(other))
    get_log("gate").info("login")
    assert "login" in other.getvalue()
    assert len(told(lines)) == 1
    with structlog.testing.capture_logs() as captured:
        get_log("gate").info("seen by a test")
    assert [line["event"] for line in captured] == ["seen by a test"]


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging, "raiseExceptions", False)
    stream = io.StringIO()
    configure_log("text", "info", stream=stream)
    stream.close()
    get_log("gate").info("unheard")
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_a_log_that_nobody_reads_any_more_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream:
        configure_log("text", "info", stream=stream)
        get_log("gate").info("the short way")
        get_log("gate").warning("the long way")
        with contextlib.suppress(BrokenPipeError):
            stream.close()
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    assert capfd.readouterr().err == ""


def test_configuring_again_does_not_double_the_lines(lines: io.StringIO) -> None:
    as_json(lines)
    as_json(lines)
    get_log("a").info("once")
    assert len(told(lines)) == 1


def test_session_ids_are_short_and_differ() -> None:
    ids = {session_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 10 and one.isalnum() and one == one.lower() for one in ids)


def test_the_key_of_the_shade_is_random_until_one_is_given() -> None:
    assert len(log_module._shade._key) == 32
