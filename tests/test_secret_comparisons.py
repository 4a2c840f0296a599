"""Nothing that proves a right is compared by `==` or `in`: their time tells how much of a guess was right.

Read from the source: whatever side of a comparison is named like a secret must not be there, or stand
below with the reason why its time tells nothing.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.hazard("T35")

SOURCE = Path(__file__).parents[1] / "src/mailferry"
SECRET = re.compile(
    r"(password|passwd|secret|token|csrf|signature|verifier|ticket|cookie|mark|pin|mac|hash|hashed|reveal)$"
)
ITSELF = re.compile(r"(remembered|before)\.password [!=]= password")
"""In the room of passwords: both sides are a Secret, which compares itself in constant time."""
OURS = "both hashes come out of a store; nobody who waits for an answer chose one of them"
ALLOWED = {
    "config/settings.py": {
        "database.reveal() == SQLITE.encode()": "a word of the configuration, at start-up"
    },
    "net/tls_client.py": {"found != self._server.pin": "the fingerprint of a certificate is public"},
    "passwords/holding.py": {
        "record.own_hash == stored": OURS,
        "one.record.pushed_hash == stored": OURS,
    },
    "passwords/setting.py": {
        "held.stored != remembered.record.pushed_hash": OURS,
        "stored != remembered.record.pushed_hash": OURS,
    },
    "passwords/wrapping.py": {"wrap.mark in {self.mark, b''}": "says which key wraps, nothing of the key"},
    "store/passwords.py": {"refused_passwords.c.verifier == verifier": OURS},
    "store/wrong_tries.py": {"said == keys.password": "a keyed hash, in a statement of the database's"},
}
NO_SECRETS = {"lab"}
"""Rooms that hold nobody's: the lab plays mail hosts to rehearse with."""


def last_name(side: ast.expr) -> str:
    """Return the name that tells what an expression holds: of what is called, taken out or looked up."""
    match side:
        case ast.Name():
            return side.id
        case ast.Attribute():
            return side.attr
        case ast.Call():
            return last_name(side.func)
        case ast.Subscript() | ast.Starred() | ast.Await():
            return last_name(side.value)
        case ast.NamedExpr():
            return last_name(side.value)
        case _:
            return ""


def compared(text: str) -> Iterator[str]:
    """Yield each comparison in a module's text that has a secret on one side and no constant on the other."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        for operation, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if not isinstance(operation, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
                continue
            if any(isinstance(side, ast.Constant) and not side.value for side in (left, right)):
                continue  # whether it is empty
            asked = isinstance(operation, ast.In | ast.NotIn)
            told = [right] if asked and not isinstance(left, ast.Name | ast.Attribute) else [left, right]
            if any(SECRET.search(last_name(side)) for side in told):  # not a constant's, in capitals
                yield ast.unparse(node)
                break


@functools.cache
def found() -> dict[str, set[str]]:
    kept: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE)
        lines = set(compared(path.read_text())) if place.parts[0] not in NO_SECRETS else set()
        if place.parts[0] == "passwords":
            lines = {line for line in lines if not ITSELF.fullmatch(line)}
        if lines:
            kept[str(place)] = lines
    return kept


def test_secrets_are_compared_in_constant_time_only() -> None:
    unexplained = {
        place: lines - set(ALLOWED.get(place, {}))
        for place, lines in found().items()
        if lines - set(ALLOWED.get(place, {}))
    }
    assert unexplained == {}, "compare by hmac.compare_digest, or say why the time tells nothing"


def test_nothing_is_allowed_that_is_not_there() -> None:
    there = found()
    assert {place: set(lines) - there.get(place, set()) for place, lines in ALLOWED.items()} == {
        place: set() for place in ALLOWED
    }


@pytest.mark.parametrize(
    "line",
    [
        "token == given",
        "given != self._token",
        "request.headers['x'] == settings.api_token.reveal()",
        "password.reveal() == other.reveal()",
        "form.csrf in known",
        "signature(payload) == text",
        "found.mark == ticket",
    ],
)
def test_a_comparison_that_tells_is_found(line: str) -> None:
    assert list(compared(line)) == [ast.unparse(ast.parse(line, mode="eval"))]


@pytest.mark.parametrize(
    "line", ["hmac.compare_digest(token, given)", "token is None", "password == b''", "len(token) == 16"]
)
def test_a_comparison_that_tells_nothing_is_let_be(line: str) -> None:
    assert list(compared(line)) == []
