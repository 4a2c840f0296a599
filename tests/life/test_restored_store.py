"""An older back-up of the store is put back: who had been flipped since is not sent to the old host again."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from mailferry.app import proxy
from mailferry.app.worker import WorkerContext
from mailferry.gate.admission import Admission, Admitted, LoginAttempt, Rejected
from mailferry.model.access import Credentials, Protocol, Secret, Side
from mailferry.model.account import Phase
from mailferry.model.causes import Answer
from mailferry.observe.log import get_log
from mailferry.store import accounts, flips_log
from tests.kit.clocked import WorldTime
from tests.kit.move import CLIENT, OLD, OTHER, USER
from tests.life.conftest import Service
from tests.life.steps import choose_password, fill, logged_in_once, source_logins

pytestmark = pytest.mark.deadline(60)


@pytest.mark.hazard("D18")
@pytest.mark.hazard("D22")
async def test_a_restored_store_sends_nobody_back_who_was_flipped_since_and_reconcile_mends_it(
    service: Service, time: WorldTime, tmp_path: Path
) -> None:
    move = await service()
    fill(move)
    await logged_in_once(move)
    await time.settle()
    restored = tmp_path / "restored"
    restored.mkdir()
    store = move.database.place.sqlite_path
    assert store is not None
    with sqlite3.connect(store) as live, sqlite3.connect(restored / store.name) as copy:
        live.backup(copy)
    live.close()
    copy.close()
    await move.copy()
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=60)

    shutil.copytree(move.state_dir / "keys", restored / "keys")
    for kept in (flips_log.LOG_FILE, "service.key"):
        if (move.state_dir / kept).exists():
            shutil.copy(move.state_dir / kept, restored / kept)
    settings = move.parts.settings
    settings = settings.model_copy(
        update={"service": settings.service.model_copy(update={"state_dir": restored})}
    )

    def leave(why: str) -> None:
        raise AssertionError(why)

    role = proxy.build(WorkerContext(settings, time.reactor, get_log("proxy"), 0, leave, time.times), [])
    await move.done(role.start())

    async def login(octets: bytes, name: str = USER) -> Admission:
        attempt = LoginAttempt(Protocol.IMAP, Credentials(name, Secret(octets)), CLIENT, "test")
        admission: Admission = await move.done(role.gate.gatekeeper.admit(attempt))
        return admission

    try:
        asked, served = source_logins(move), len(move.target.premises.records)
        choose_password(move.source, OTHER)
        for octets in (OLD, OTHER, b"wrong"):
            told = await login(octets)
            assert isinstance(told, Rejected)
            assert told.answer is Answer.TEMPORARY
        told = await login(OLD, name="never@old.test")
        assert isinstance(told, Rejected)
        assert told.answer is Answer.TEMPORARY, "nobody can say whether the log or the store knows it"
        assert source_logins(move) == asked
        assert len(move.target.premises.records) == served

        database = role.parts.database
        assert database.read_now("old", lambda conn: accounts.find(conn, USER)).phase is Phase.PRECOPY
        missing = flips_log.reconcile(database, restored / flips_log.LOG_FILE)
        assert [flip.address for flip in missing] == [USER]
        admission = await login(OLD)
        assert isinstance(admission, Admitted)
        assert admission.side is Side.TARGET
        await move.logout(admission)
        assert source_logins(move) == asked, "no process had to start anew to learn of it"
    finally:
        await move.done(role.drain())
