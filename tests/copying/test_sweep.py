"""Late mail: fetched once, never what the target has already."""

from __future__ import annotations

import pytest

from mailferry.copying.sweep import sweep
from mailferry.store.database import Database
from tests.copying.lab_rig import lab
from tests.copying.rig import turn

pytestmark = pytest.mark.deadline(60)


@pytest.mark.parametrize("protocols", [{"imap"}, {"pop3"}], ids=" ".join)
@pytest.mark.hazard("D16")
async def test_late_mail_arrives_once_and_not_when_the_target_has_it(
    store: Database, protocols: set[str]
) -> None:
    async with lab(store, protocols=frozenset(protocols)) as rig:
        known = b"Message-ID: <1@a>\r\nSubject: known\r\n\r\nknown\r\n"
        rig.old.deliver(known)
        await rig.run()
        rig.old.deliver(b"Message-ID: <2@a>\r\nSubject: late\r\n\r\nlate\r\n")
        rig.old.deliver(known)
        body = b"Message-ID: <3@a>\r\nSubject: both\r\n\r\nto both hosts\r\n"
        rig.old.deliver(b"Received: from old\r\n" + body)
        rig.new.deliver(b"Received: from new\r\n" + body)
        rig.new.deliver(b"Message-ID: <2@a>\r\nSubject: forged\r\n\r\nanother body\r\n")
        result = await sweep(rig.desk, rig.account_id)
        await turn()
        assert (result.copied, result.already, result.clean) == (1, 2, True)
        subjects = sorted(m.octets.partition(b"Subject: ")[2][:5] for m in rig.new.inbox.messages.values())
        assert subjects == [b"both\r", b"forge", b"known", b"late\r"]
        again = await sweep(rig.desk, rig.account_id)
        await turn()
        assert (again.copied, again.already) == (0, 0)
