"""The search for canary passwords finds each encoding, at any place, and nothing that is not there."""

from __future__ import annotations

import base64
import json
import os
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.break_steps import STEPS
from tests.kit.canary import canary, search, search_files, search_processes

SECRET = canary()


@pytest.mark.parametrize(
    ("name", "leak"),
    [
        ("raw", f"LOGIN u {SECRET}"),
        ("url", quote(SECRET, safe="")),
        ("url", quote(SECRET, safe="").lower()),
        ("hex", SECRET.encode().hex().upper()),
        ("json", json.dumps({"password": SECRET})),
        ("repr", repr(SECRET.encode())),
        ("quoted", SECRET.replace('"', '\\"')),
    ],
    ids=["raw", "url", "url in small letters", "hex", "json", "repr", "quoted"],
)
def test_each_encoding_is_found(name: str, leak: str) -> None:
    assert name in {sighting.encoding for sighting in search(f"before {leak} behind".encode(), [SECRET])}


@given(before=st.binary(max_size=9), behind=st.binary(max_size=9))
def test_base64_is_found_whatever_stands_around_it(before: bytes, behind: bytes) -> None:
    leak = base64.b64encode(before + SECRET.encode() + behind)
    assert any(sighting.encoding.startswith("base64") for sighting in search(b"x" + leak, [SECRET]))


@given(st.binary(max_size=400))
def test_nothing_is_found_where_nothing_is(octets: bytes) -> None:
    assert list(search(octets, [SECRET, canary().encode()])) == []


def test_octets_that_are_not_utf8_are_searched_too() -> None:
    secret = b"\xc4\xe3\xba\xc3 canary of octets"
    assert [s.encoding for s in search(b"x" + secret, [secret])] == ["raw"]
    assert [s.encoding for s in search(repr(secret).encode(), [secret])] == ["repr"]


def test_files_and_processes_are_searched(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_bytes(b"one\n" + SECRET.encode())
    (tmp_path / "users").write_bytes(SECRET.encode())
    found = search_files(tmp_path, [SECRET], but=[tmp_path / "users"])
    assert [(Path(s.place).name, s.encoding, s.offset) for s in found] == [("log", "raw", 4)]
    assert str(found[0]).endswith("log: raw at octet 4")
    assert search_processes([os.getpid(), 2**22 + 1], [SECRET]) == []


@pytest.mark.parametrize("place", STEPS)
def test_a_step_that_is_to_break_is_there(place: str) -> None:
    module, _, names = place.partition(":")
    assert callable(attrgetter(names)(import_module(module)))
