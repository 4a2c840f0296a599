"""Passwords set in the tables of real mail systems open a real Dovecot that asks those tables."""

from __future__ import annotations

import functools
import imaplib
import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event

from mailferry.config.settings import PasswordSettings
from mailferry.model.access import Secret
from mailferry.passwords import schemes
from mailferry.passwords.backend import NewPassword, PasswordBackend, PushResult
from mailferry.passwords.backends import make_backend
from mailferry.passwords.work_threads import WorkThreads
from tests.kit.peer_plugin import require, require_sqlite_in_dovecot
from tests.kit.peers import in_thread
from tests.passwords.site_schemas import ASLEEP, DOMAIN, OLD, OLD_HASH, OTHER, SITES, USER, Site

pytestmark = [pytest.mark.deadline(60), pytest.mark.peer("dovecot")]

NASTY = [
    b"%u%d%w",
    b"$(id) `id` 'or''1'='1' --;",
    b'"quoted\\" {PLAIN}x',
    "密码 pässwörd".encode(),
    "密码".encode("gb18030"),
    b" blanks at both ends ",
    b"x" * 72,
]
"""T25: none of them may be expanded, cut or decoded on its way into the table and out of it."""


@functools.cache
def tables(site: Site) -> bytes:
    """Return the file of a database with the site's tables, made once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "site.db")
        file.touch()
        engine = create_engine(f"sqlite:///{file}")
        event.listen(engine, "connect", lambda conn, _: conn.execute("PRAGMA foreign_keys = ON"))
        site.make(engine, Path(folder))
        engine.dispose()
        return file.read_bytes()


class Place:
    """One site's tables in a file that Dovecot reads, and our backend on them."""

    def __init__(self, site: Site, folder: Path, threads: WorkThreads) -> None:
        self.site = site
        self.file = folder / "site.db"
        self.file.touch(0o644)
        self.file.write_bytes(tables(site))
        settings = site.settings
        self.scheme = str(settings["scheme"])
        settings["sql"] = {**settings["sql"], "url": f"sqlite:///{self.file}"}  # type: ignore[dict-item]
        self.backend: PasswordBackend = make_backend(PasswordSettings.model_validate(settings), threads)

    def made(self, octets: bytes) -> NewPassword:
        return NewPassword(schemes.make_hash(self.scheme, Secret(octets)), Secret(octets))

    async def set(self, address: str, octets: bytes) -> PushResult:
        expected = await self.backend.current(address)
        return await self.backend.push(address, self.made(octets), expected=expected)


@pytest.fixture(params=SITES, ids=lambda site: site.name)
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.param
    if found.name == "PostfixAdmin":
        require("php")
    return found


@pytest.fixture
def place(site: Site, tmp_path: Path, threads: WorkThreads) -> Place:
    return Place(site, tmp_path, threads)


def logs_in(port: int, user: str, octets: bytes) -> bool:
    """Whether Dovecot takes the octets, by SASL PLAIN."""
    client = imaplib.IMAP4("127.0.0.1", port)
    try:
        client.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + octets)
        client.select("INBOX")
    except imaplib.IMAP4.error:
        return False
    finally:
        client.shutdown()
    return True


Dovecot = Callable[[bytes], Any]


@pytest.fixture
def dovecot(place: Place, start_peer: Callable[..., Any]) -> Any:
    """A Dovecot whose only passwords are in the site's tables, asked for with the site's own query."""
    require_sqlite_in_dovecot()
    folder = place.file.parent
    for above in (folder, *folder.parents):
        if above.stat().st_uid == os.getuid() and above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o055)
    query = place.file.with_name("dovecot-sql.conf")
    query.write_text(
        f"driver = sqlite\nconnect = {place.file}\ndefault_pass_scheme = CRYPT\n"
        f"password_query = {place.site.password_query}\n"
    )
    settings = f"passdb {{\n  driver = sql\n  args = {query}\n}}\n"
    return start_peer("dovecot", users={}, settings=settings)


async def takes(dovecot: Any, user: str, octets: bytes) -> bool:
    return bool(await in_thread(logs_in, dovecot.ports["imap"], user, octets))


async def test_a_password_that_is_set_opens_the_real_dovecot(place: Place, dovecot: Any) -> None:
    assert await takes(dovecot, USER, OLD.encode())
    assert await place.set(USER, b"new password") is PushResult.DONE
    assert (await place.backend.current(USER) or "").startswith(f"{{{place.scheme}}}")
    assert await takes(dovecot, USER, b"new password")
    assert not await takes(dovecot, USER, OLD.encode())


@pytest.mark.hazard("T25")
async def test_no_octet_of_a_password_is_expanded_cut_or_decoded(place: Place, dovecot: Any) -> None:
    place.scheme = "SSHA512"  # quick; the schemes themselves are compared with Dovecot's elsewhere
    for octets in NASTY:
        assert await place.set(USER, octets) is PushResult.DONE
        assert await takes(dovecot, USER, octets), octets
        assert not await takes(dovecot, USER, octets + b"x" if len(octets) < 72 else b"y" + octets[1:]), (
            octets
        )


@pytest.mark.hazard("T22")
async def test_nobody_else_is_touched_and_a_change_there_is_left_alone(place: Place) -> None:
    before = everything_but(place, USER)
    assert any(OTHER in row for row in before)
    assert await place.set(USER, b"new") is PushResult.DONE
    assert everything_but(place, USER) == before
    changed = place.made(b"changed on the system's own page")
    assert await place.backend.push(USER, changed, expected=OLD_HASH) is PushResult.CONFLICT
    assert await place.backend.push(USER, changed, expected=None) is PushResult.CONFLICT


async def test_an_account_that_is_switched_off_stays_so(place: Place, dovecot: Any) -> None:
    assert await place.backend.current(ASLEEP) is None
    assert await place.set(ASLEEP, b"new") is PushResult.MISSING
    assert not await takes(dovecot, ASLEEP, b"new")


async def test_an_account_that_is_missing_is_made_where_the_page_says_how(place: Place, dovecot: Any) -> None:
    fresh = f"wang@{DOMAIN}"
    creates = bool(place.site.settings["sql"]["create"])  # type: ignore[index]
    assert await place.set(fresh, b"first") is (PushResult.CREATED if creates else PushResult.MISSING)
    assert await takes(dovecot, fresh, b"first") is creates
    if creates:
        assert await place.set("wang@elsewhere.test", b"first") is PushResult.MISSING


@pytest.mark.parametrize("site", [one for one in SITES if one.name == "mailcow"], indirect=True)
async def test_an_account_of_a_single_sign_on_is_none_of_ours(place: Place) -> None:
    assert await place.set(f"sso@{DOMAIN}", b"new") is PushResult.MISSING


def everything_but(place: Place, user: str) -> set[tuple[object, ...]]:
    """Return every row of every table but those that name the user."""
    rows = set()
    with sqlite3.connect(place.file) as conn:
        tables = [name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in conn.execute(f'SELECT * FROM "{table}"'):
                if user not in row:
                    rows.add((table, *row))
    return rows
