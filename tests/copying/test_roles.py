"""Special roles (RFC 6154) and subscriptions at the target: they follow, or the administrator is told which do not."""

from __future__ import annotations

import pytest

from mailferry.store import remarks
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from tests.copying.lab_rig import LabRig, lab

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D27")]

ROLES = {b"Gesendet": b"\\Sent", b"Werbung": b"\\Junk", b"Papierkorb": b"\\Trash"}


def fill(rig: LabRig) -> None:
    for name, role in ROLES.items():
        rig.old.create(name, role=role, subscribed=role == b"\\Sent")
        rig.old.deliver(b"Subject: %s\r\n\r\n.\r\n" % name, mailbox=name)
    for store in (rig.old, rig.new):
        for box in list(store):
            if box.name not in {b"INBOX", *ROLES}:
                store.delete(box.name)
                store.subscriptions.discard(box.name)


def roles(rig: LabRig) -> dict[bytes, bytes]:
    """Return role to the mailbox of the target that bears it."""
    return {role: box.name for box in rig.new for role in box.attributes & set(ROLES.values())}


def not_marked(rig: LabRig) -> dict[bytes, str | None]:
    rows = rig.store.read_now("remarks", lambda conn: remarks.of_account(conn, rig.account_id))
    return {row.subject: row.detail for row in rows if row.kind is RemarkKind.ROLE}


async def test_they_follow_to_mailboxes_that_are_made(lite: Database) -> None:
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        fill(rig)
        assert (await rig.run()).clean
        assert roles(rig) == {b"\\Sent": b"Sent", b"\\Junk": b"Junk", b"\\Trash": b"Trash"}
        assert (rig.new.subscriptions - {b"INBOX"}, not_marked(rig)) == ({b"Sent"}, {})


async def test_what_bears_the_role_at_the_target_takes_the_mail(lite: Database) -> None:
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        fill(rig)
        rig.new.create(b"Sent Items", role=b"\\Sent")
        assert (await rig.run()).clean
        assert roles(rig)[b"\\Sent"] == b"Sent Items"
        assert len(rig.new.mailbox(b"Sent Items").messages) == 1
        assert rig.new.find(b"Gesendet") is None
        assert b"Sent Items" in rig.new.subscriptions


async def test_a_role_that_the_target_does_not_mark_is_named(lite: Database) -> None:
    async with lab(lite, protocols=frozenset({"imap"}), new={"no_special_use"}) as rig:
        fill(rig)
        for _ in range(2):
            assert (await rig.run()).clean
        assert roles(rig) == {}
        assert not_marked(rig) == {b"Sent": "sent", b"Junk": "junk", b"Trash": "trash"}
