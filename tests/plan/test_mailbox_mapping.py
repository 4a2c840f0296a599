from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.model.mail import Mailbox
from mailferry.model.profile import Profile
from mailferry.plan.mailbox_mapping import (
    LeftOut,
    MailboxPlan,
    MappedBy,
    Namespace,
    guessed_namespace,
    plan_mailboxes,
    shown_name,
)
from mailferry.wire.imap_names import encode_mailbox

GENERIC = Profile(profile_id="generic", names={})
SLASH, DOT, INBOX_DOT = Namespace(b"", b"/"), Namespace(b"", b"."), Namespace(b"INBOX.", b".")


def box(name: str | bytes, *attributes: str, delimiter: bytes = b"/") -> Mailbox:
    raw = name if isinstance(name, bytes) else encode_mailbox(name)
    return Mailbox(raw, delimiter, frozenset(attributes))


def plan(
    *source: Mailbox,
    target: tuple[Mailbox, ...] = (),
    profile: Profile = GENERIC,
    spaces: tuple[Namespace, Namespace] = (SLASH, DOT),
    kept: dict[bytes, bytes] | None = None,
) -> MailboxPlan:
    return plan_mailboxes(
        source, target, profile=profile, source_namespace=spaces[0], target_namespace=spaces[1], kept=kept
    )


def names(made: MailboxPlan) -> dict[str, str]:
    return {pair.source_shown: pair.target_shown for pair in made.pairs}


def test_roles_come_first_then_known_names_then_the_path() -> None:
    made = plan(
        box("Trash2", "\\trash"),
        box("已发送"),
        box("草稿箱"),
        box("Deleted Items"),
        box("项目/客户"),
        box("inbox"),
        target=(box("INBOX"), box("Gesendet", "\\sent"), box("Papierkorb", "\\trash")),
    )
    assert names(made) == {
        "inbox": "INBOX",
        "Trash2": "Papierkorb",
        "已发送": "Gesendet",
        "草稿箱": "Drafts",
        "Deleted Items": "Deleted Items",
        "项目/客户": "项目.客户",
    }
    assert {pair.role: pair.mapped_by for pair in made.pairs if pair.role} == {
        "trash": MappedBy.ROLE,
        "sent": MappedBy.NAME,
        "drafts": MappedBy.NAME,
    }
    assert made.pairs[0].source.name == b"inbox"


@pytest.mark.parametrize(
    ("spaces", "source", "target"),
    [
        ((SLASH, DOT), "a/b", "a.b"),
        ((SLASH, DOT), "v1.2/x", "v1_2.x"),
        ((SLASH, INBOX_DOT), "a/b", "INBOX.a.b"),
        ((SLASH, INBOX_DOT), "INBOX/sub", "INBOX.sub"),
        ((INBOX_DOT, SLASH), "INBOX.a.b", "a/b"),
        ((INBOX_DOT, DOT), "INBOX.x", "x"),
        ((Namespace(b"", None), SLASH), "a/b", "a_b"),
        ((SLASH, Namespace(b"", None)), "a/b", "a-b"),
        ((DOT, SLASH), "INBOX.x", "INBOX/x"),
    ],
)
@pytest.mark.hazard("D12")
def test_delimiter_and_namespace_are_translated(
    spaces: tuple[Namespace, Namespace], source: str, target: str
) -> None:
    made = plan(box(source, delimiter=spaces[0].delimiter or b""), spaces=spaces)
    assert [pair.target_name.decode() for pair in made.pairs] == [target]


@pytest.mark.hazard("D12")
def test_no_two_mailboxes_are_merged() -> None:
    made = plan(
        box("Sent Messages", "\\sent"), box("Sent"), box("a.b"), box("a_b"), box("~x"), box("_x"), box("a//b")
    )
    targets = [pair.target_name for pair in made.pairs]
    assert len(set(targets)) == len(targets) == 7
    assert names(made)["Sent Messages"] == "Sent"
    assert names(made)["Sent"] == "Sent-2"


@pytest.mark.hazard("D12")
def test_two_mailboxes_that_claim_one_role_stay_two() -> None:
    made = plan(
        box("Outbox", "\\sent"),
        box("Sent", "\\sent"),
        box("已发送"),
        box("Gesendet"),
        target=(box("Gesendet", "\\sent"), box("Sent")),
    )
    assert names(made) == {"Outbox": "Gesendet", "Sent": "Sent", "已发送": "已发送", "Gesendet": "Gesendet-2"}
    assert [pair.source_shown for pair in made.pairs if pair.role] == ["Outbox"]


@pytest.mark.hazard("D12")
def test_the_mapping_of_earlier_runs_always_stands() -> None:
    first = plan(box("Work"), box("Sent", "\\sent"))
    kept = {pair.source.name: pair.target_name for pair in first.pairs}
    second = plan(
        box("Sent", "\\sent"),
        box("Work"),
        box("Work-2"),
        box("A"),
        target=(box("Gesendet", "\\sent"),),
        kept=kept,
    )
    assert {p.source.name: p.target_name for p in second.pairs}.items() >= kept.items()
    assert {p.mapped_by for p in second.pairs if p.source.name in kept} == {MappedBy.KEPT}


@pytest.mark.hazard("D12")
def test_what_holds_no_mail_is_left_out_with_its_reason() -> None:
    profile = Profile(profile_id="x", names={}, skip_mailboxes=("日历", "其他文件夹/QQ邮件订阅"))
    made = plan(
        box("日历"),
        box("日历/Holidays"),
        box("其他文件夹", "\\noselect"),
        box("其他文件夹/QQ邮件订阅"),
        box("Starred", "\\flagged"),
        box("Ghost", "\\nonexistent"),
        box("INBOX"),
        box("Inbox"),
        box("A"),
        box("A"),
        profile=profile,
    )
    assert sorted((shown_name(m.name), why) for m, why in made.left_out) == [
        ("A", LeftOut.LISTED_TWICE),
        ("Ghost", LeftOut.NOT_SELECTABLE),
        ("Inbox", LeftOut.SAME_AS_INBOX),
        ("Starred", LeftOut.VIEW),
        ("其他文件夹", LeftOut.NOT_SELECTABLE),
        ("其他文件夹/QQ邮件订阅", LeftOut.NO_MAIL),
        ("日历", LeftOut.NO_MAIL),
        ("日历/Holidays", LeftOut.NO_MAIL),
    ]
    assert names(made) == {"INBOX": "INBOX", "A": "A"}


def test_a_providers_names_and_parents_are_its_profiles_affair() -> None:
    profile = Profile(
        profile_id="x",
        names={},
        special_mailboxes={"sent": ("[Gmail]/已发邮件",)},
        strip_parents=("其他文件夹",),
    )
    made = plan(box("[Gmail]/已发邮件"), box("其他文件夹/家"), box("Sent"), profile=profile)
    assert names(made) == {"[Gmail]/已发邮件": "Sent", "其他文件夹/家": "家", "Sent": "Sent-2"}
    assert {p.mapped_by for p in made.pairs} == {MappedBy.PROFILE, MappedBy.PATH}


@pytest.mark.hazard("D12")
@pytest.mark.parametrize(
    ("raw", "target"),
    [
        (b"R&D", b"R&-D"),
        (b"R&-D", b"R&-D"),
        ("收件".encode("gb18030"), encode_mailbox("收件")),
        ("café".encode(), encode_mailbox("café")),
        (b"&AGE-", b"&-AGE-"),
        (b"tab\there", b"tab_here"),
        (b" ", b"_"),
        (b"trailing ", b"trailing "),
    ],
)
def test_names_that_are_no_modified_utf7_are_read_as_plain_text(raw: bytes, target: bytes) -> None:
    made = plan(box(raw))
    assert [(p.source.name, p.target_name) for p in made.pairs] == [(raw, target)]


@pytest.mark.hazard("D12")
def test_overlong_names_are_cut_and_stay_apart() -> None:
    long = "很长的名字" * 40
    made = plan(box(long + "甲"), box(long + "乙"), box("/".join(["abcdefghij" * 4] * 8)))
    targets = [pair.target_name for pair in made.pairs]
    assert len(set(targets)) == 3
    assert all(len(name) <= 230 for name in targets)
    assert targets == [p.target_name for p in plan(*[p.source for p in made.pairs]).pairs]


def test_a_namespace_that_is_not_told_is_guessed_from_the_names() -> None:
    assert guessed_namespace([box("INBOX", delimiter=b"."), box("INBOX.a", delimiter=b".")]) == INBOX_DOT
    assert guessed_namespace([box("INBOX"), box("INBOX/a"), box("b")]) == SLASH
    assert guessed_namespace([box("INBOX", delimiter=b"")]) == Namespace(b"", None)


raw_names = st.one_of(
    st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40).map(encode_mailbox),
    st.binary(max_size=30),
    st.lists(st.sampled_from(["a", "A", ".", "/", "INBOX", "已发送", "~", "*", " "]), max_size=6).map(
        lambda parts: encode_mailbox("".join(parts))
    ),
)
spaces = st.sampled_from([SLASH, DOT, INBOX_DOT, Namespace(b"", None)])


@settings(deadline=None)
@given(st.lists(raw_names, max_size=12), spaces, spaces)
@pytest.mark.hazard("D12")
def test_any_list_of_names_maps_injectively_and_alike_each_time(
    raws: list[bytes], here: Namespace, there: Namespace
) -> None:
    source = [Mailbox(raw, here.delimiter) for raw in raws]
    made = plan(*source, spaces=(here, there))
    targets = [pair.target_name for pair in made.pairs]
    assert len(set(targets)) == len(targets)
    assert len({pair.source.name for pair in made.pairs}) + len(made.left_out) == len(raws)
    kept = {pair.source.name: pair.target_name for pair in made.pairs}
    again = plan(*source, spaces=(here, there))
    assert {p.source.name: p.target_name for p in again.pairs} == kept
    with_kept = plan(*reversed(source), spaces=(here, there), kept=kept)
    assert all(kept.get(p.source.name, p.target_name) == p.target_name for p in with_kept.pairs)
    for name in targets:
        assert not any(octet < 0x20 or octet >= 0x7F for octet in name)
        assert len(name) <= 1000
