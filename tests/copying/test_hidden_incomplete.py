"""Mail that POP3 alone shows, beside IMAP, and that comes without its body: kept apart, until more comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailferry.copying.results import Mode
from mailferry.plan.completeness import Doubt, Grade
from mailferry.store import ledger, mailboxes
from mailferry.store.database import Database
from mailferry.store.mailboxes import OVER_POP3
from tests.copying.lab_rig import LabRig, lab

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D25")]

BODY = b"body body body body\r\n" * 150


@asynccontextmanager
async def window(store: Database, *, days: float = 90) -> AsyncIterator[LabRig]:
    """IMAP shows the mail of 30 days, POP3 two older messages besides; of the second no body comes."""
    async with lab(store, old={"imap_window_30d", "pop3_header_only"}) as rig:
        rig.source.premises.troubled = frozenset({2})
        old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days)
        for number in range(5):
            rig.old.deliver(
                b"Subject: %d\r\nMessage-ID: <%d@x.test>\r\n\r\n%s" % (number, number, BODY),
                internal_date=old if number < 2 else None,
            )
        yield rig


def bodies(rig: LabRig) -> list[int]:
    """Return the lengths of the bodies in the target's INBOX."""
    found = rig.new.inbox.messages.values()
    return sorted(len(message.octets.partition(b"\r\n\r\n")[2]) for message in found)


def kept(rig: LabRig) -> int:
    """Return how many incomplete copies there are of what POP3 alone shows."""

    def read(conn: Any) -> int:
        row = mailboxes.incomplete(conn, rig.account_id).get(OVER_POP3)
        return 0 if row is None else len(ledger.load(conn, row.id))

    return rig.store.read_now("kept", read)


WHOLE = len(BODY)


@pytest.mark.parametrize("mode", list(Mode), ids=str)
async def test_it_is_kept_as_incomplete_and_never_counts_as_done(lite: Database, mode: Mode) -> None:
    async with window(lite) as rig:
        result = await rig.run(mode)
        assert (result.copied, result.skipped, result.incomplete) == (4, 1, 1)
        assert rig.skips() == [(OVER_POP3, rig.skips()[0][1], "header_only_at_source")]
        assert bodies(rig) == [0, *[WHOLE] * 4]
        assert kept(rig) == 1
        assert result.completeness.grade is Grade.POOR
        assert Doubt.HEADERS_ONLY in result.completeness.doubts
        again = await rig.run(mode)
        assert (again.copied, again.incomplete, bodies(rig)) == (0, 0, [0, *[WHOLE] * 4])
        assert again.completeness.grade is Grade.POOR


@pytest.mark.parametrize("mode", list(Mode), ids=str)
async def test_the_whole_message_takes_its_place_when_pop3_gives_it(lite: Database, mode: Mode) -> None:
    async with window(lite) as rig:
        await rig.run(mode)
        rig.source.premises.quirks.discard("pop3_header_only")
        rig.let_skips_be_due()
        result = await rig.run(mode)
        assert (result.copied, bodies(rig), kept(rig), rig.skips()) == (1, [WHOLE] * 5, 0, [])
        after = await rig.run(mode)
        assert (after.copied, bodies(rig)) == (0, [WHOLE] * 5)
        assert after.completeness.doubts == (Doubt.POP3_SHOWS_MORE,)


async def test_the_whole_message_takes_its_place_when_imap_shows_it(lite: Database) -> None:
    async with window(lite) as rig:
        await rig.run()
        rig.source.premises.quirks.discard("imap_window_30d")
        rig.let_skips_be_due()
        for _ in range(3):
            result = await rig.run()
        assert bodies(rig) == [WHOLE] * 5
        assert (kept(rig), rig.skips()) == (0, [])
        assert (result.copied, result.completeness.grade) == (0, Grade.GOOD)


async def test_its_header_over_pop3_takes_no_whole_copys_place_when_imap_shows_the_message_no_more(
    lite: Database,
) -> None:
    async with window(lite, days=29.5) as rig:
        assert (await rig.run()).copied == 5
        for message in rig.old.inbox.messages.values():
            message.internal_date -= timedelta(days=1)
        for _ in range(2):
            result = await rig.run()
        assert (bodies(rig), kept(rig), result.deleted) == ([WHOLE] * 5, 0, 0)
        assert Doubt.SLIPPED_OUT in result.completeness.doubts
