"""Real mail clients against the lab: what they read is what lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.lab.mail_generator import MailGenerator
from tests.kit.peer_curl import curl
from tests.kit.peer_fetchmail import NOTHING_NEW, Fetchmail
from tests.kit.peer_mbsync import Mbsync
from tests.lab.rehearsal import PASSWORD, USER, certificates, hosted


@pytest.mark.peer("curl")
async def test_curl_reads_by_pop3_and_imap_plain_and_with_tls(tmp_path: Path) -> None:
    files, _ = certificates(tmp_path)
    body = b"Subject: curl\r\n\r\n.dot\r\nbody\r\n"
    async with hosted(tls=files) as host:
        host.mailstore(USER).deliver(body)
        urls = [
            (f"pop3://localhost:{host.pop3_port}/1", False),
            (f"pop3://localhost:{host.pop3_port}/1", True),
            (f"pop3s://localhost:{host.pop3s_port}/1", False),
            (f"imap://localhost:{host.imap_port}/INBOX;UID=1", False),
            (f"imap://localhost:{host.imap_port}/INBOX;UID=1", True),
            (f"imaps://localhost:{host.imaps_port}/INBOX;UID=1", False),
        ]
        for url, starttls in urls:
            ran = await curl(url, USER, PASSWORD, ca=files.authority, starttls=starttls).run()
            assert (ran.code, ran.out) == (0, body), (url, ran.text)
        refused = await curl(urls[0][0], USER, b"wrong").run()
        assert refused.code == 67, refused.text


@pytest.mark.peer("fetchmail")
@pytest.mark.deadline(30)
@pytest.mark.parametrize("protocol", ["pop3", "imap"])
async def test_fetchmail_fetches_all_once_and_then_nothing(tmp_path: Path, protocol: str) -> None:
    files, _ = certificates(tmp_path)
    async with hosted(tls=files) as host:
        store = host.mailstore(USER)
        for number in range(5):
            store.deliver(b"From: a@x\r\nSubject: %d\r\n\r\n.body %d\r\n" % (number, number))
        port = host.pop3_port if protocol == "pop3" else host.imap_port
        client = Fetchmail(
            tmp_path / "home", host="localhost", port=port, user=USER, password=PASSWORD.decode(),
            protocol=protocol, ca=files.authority,
        )  # fmt: skip
        assert client.fetched_by(await client.command().run())
        assert len(client.fetched) == 5
        assert b".body 3" in client.fetched[3]
        assert (await client.command().run()).code == NOTHING_NEW


@pytest.mark.peer("mbsync")
@pytest.mark.deadline(30)
async def test_mbsync_pulls_every_mailbox(tmp_path: Path) -> None:
    files, _ = certificates(tmp_path)
    async with hosted(tls=files) as host:
        store = host.mailstore(USER)
        MailGenerator(4).fill(store, 150)
        client = Mbsync(
            tmp_path / "home", host="localhost", port=host.imap_port, user=USER, password=PASSWORD.decode(),
            ca=files.authority,
        )  # fmt: skip
        ran = await client.command().run()
        assert ran.code == 0, ran.text
        assert sum(map(len, client.messages().values())) == 150
        before = len(host.premises.records)
        again = await client.command().run()
        assert again.code == 0, again.text
        assert not any("BODY" in line for r in host.premises.records[before:] for line in r.commands)
