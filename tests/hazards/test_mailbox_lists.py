"""Lists of mailboxes that leave INBOX out or contradict themselves, and targets to which two names are one."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from mailferry.lab import imap_mailboxes
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.names import encode_name
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from mailferry.wire.imap_names import decode_strict
from tests.copying.lab_rig import LabRig, lab
from tests.hazards.test_targets import remarked

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D12")]


def fill(rig: LabRig, *names: bytes) -> None:
    for name in names:
        if rig.old.find(name) is None:
            rig.old.create(name)
        rig.old.deliver(b"Subject: x\r\n\r\n%s\r\n" % name.hex().encode(), mailbox=name)


@pytest.mark.parametrize("others", [(b"Work", b"a/b"), ()], ids=["others listed", "nothing listed"])
async def test_inbox_is_copied_though_the_source_does_not_list_it(
    lite: Database, monkeypatch: pytest.MonkeyPatch, others: tuple[bytes, ...]
) -> None:
    matching = imap_mailboxes._matching

    def without(session: Any, reference: bytes, patterns: list[bytes]) -> list[Any]:
        found = matching(session, reference, patterns)
        return [box for box in found if box.name != b"INBOX" or session.premises.name != "old"]

    monkeypatch.setattr(imap_mailboxes, "_matching", without)
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        fill(rig, b"INBOX", *others)
        result = await rig.run()
        assert (result.copied, result.clean) == (1 + len(others), True)
        assert rig.unlike() == []
        assert (await rig.run()).copied == 0


async def test_a_mailbox_that_one_line_calls_shut_and_another_does_not_is_copied(
    lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a server with two namespaces that show the same name."""
    marks = imap_mailboxes._marks
    matching = imap_mailboxes._matching
    told: set[bytes] = set()

    def twice(session: Any, reference: bytes, patterns: list[bytes]) -> list[Any]:
        found = matching(session, reference, patterns)
        told.clear()
        return [box for box in found for _ in (1, 2)] if session.premises.name == "old" else found

    def shut_at_first(session: Any, box: Any, *, roles: bool) -> list[bytes]:
        found = marks(session, box, roles=roles)
        if session.premises.name != "old" or box.name in told:
            return found
        told.add(box.name)
        return [*found, b"\\Noselect"] if box.name == b"Work" else found

    monkeypatch.setattr(imap_mailboxes, "_matching", twice)
    monkeypatch.setattr(imap_mailboxes, "_marks", shut_at_first)
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        fill(rig, b"INBOX", b"Work")
        result = await rig.run()
        assert (result.copied, result.clean) == (2, True)
        assert rig.unlike() == []


def caseless(name: bytes) -> bytes:
    return name.lower()


def composed(name: bytes) -> bytes:
    return encode_name(unicodedata.normalize("NFC", decode_strict(name)))


CASE_TWINS = (b"Work", b"work", b"WORK/x", b"work/X")
FORM_TWINS = tuple(encode_name(unicodedata.normalize(form, "Café")) for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("spelt", "twins"), [(caseless, CASE_TWINS), (composed, FORM_TWINS)], ids=["letter case", "Unicode form"]
)
async def test_names_that_are_one_to_the_target_stay_two_mailboxes(
    lite: Database, monkeypatch: pytest.MonkeyPatch, spelt: Callable[[bytes], bytes], twins: tuple[bytes, ...]
) -> None:
    """Zimbra and Exchange know no letter case, Dovecot 2.4 and macOS one form of each letter."""
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        canonical = Mailstore._canonical
        new = rig.new

        def same(store: Mailstore, name: bytes) -> bytes:
            name = canonical(store, name)
            if store is not new:
                return name
            return next((box.name for box in store if spelt(box.name) == spelt(name)), name)

        monkeypatch.setattr(Mailstore, "_canonical", same)
        fill(rig, b"INBOX", *twins)
        for again in range(2):
            result = await rig.run()
            assert result.failures == []
            assert (result.copied, result.clean) == (0 if again else 1 + len(twins), True)
            held = [box for box in rig.new if box.messages and box.name != b"INBOX"]
            assert [len(box.messages) for box in held] == [1] * len(twins), "two mailboxes became one"
            assert len(remarked(rig, RemarkKind.RENAMED)) >= len(twins) // 2
