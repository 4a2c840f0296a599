"""The verbs of an IMAP session: mailboxes, listings, changes, and the session's end."""

from __future__ import annotations

import time

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.model.mail import MessageFacts
from mailferry.model.profile import Profile
from mailferry.remote.imap_client import FlagChange, ImapClient
from tests.kit.scripted import Script, Talk
from tests.remote.sessions import answering, commands_of, imap

EXTENDED = b"SPECIAL-USE LIST-EXTENDED"


async def test_mailboxes_come_with_their_roles_by_list_return() -> None:
    script = answering(
        b'* LIST (\\HasNoChildren) "/" INBOX\r\n'
        b'* LIST (\\Sent \\HasNoChildren) "/" "&XfJT0ZAB-"\r\n'
        b'* LIST (\\Noselect) "/" {4}\r\na"b\\\r\n'
        b'* LIST (\\Marked) "/" INBOX\r\n%t OK\r\n'
    )
    async with imap(script, EXTENDED) as (client, rec):
        boxes = {box.name: box for box in await client.list_mailboxes()}
        assert list(boxes) == [b"INBOX", b"&XfJT0ZAB-", b'a"b\\']
        assert "\\sent" in boxes[b"&XfJT0ZAB-"].attributes
        assert not boxes[b'a"b\\'].selectable
        assert boxes[b"INBOX"].attributes == {"\\hasnochildren", "\\marked"}
        assert commands_of(rec) == [b'LIST "" "*" RETURN (SPECIAL-USE)']


async def test_a_server_that_takes_no_return_is_asked_the_old_way() -> None:
    script = answering(b"%t BAD Command Argument Error. 12\r\n", b'* LIST () "/" A\r\n%t OK\r\n')
    async with imap(script, EXTENDED) as (client, rec):
        assert [box.name for box in await client.list_mailboxes()] == [b"A"]
        assert commands_of(rec)[1] == b'LIST "" "*"'


async def test_tencent_tells_roles_only_by_xlist() -> None:
    script = answering(
        b'* LIST (\\HasNoChildren) "/" "Sent Messages"\r\n* LIST () "/" INBOX\r\n%t OK\r\n',
        b'* XLIST (\\HasNoChildren \\Sent) "/" "Sent Messages"\r\n* XLIST () "/" "More"\r\n%t OK\r\n',
    )
    async with imap(script, b"XLIST") as (client, _):
        boxes = {box.name: box.attributes for box in await client.list_mailboxes()}
        assert boxes == {b"Sent Messages": {"\\hasnochildren", "\\sent"}, b"INBOX": frozenset()}


@pytest.mark.hazard("T19")
async def test_lists_that_cannot_be_read_are_reported_and_the_others_kept() -> None:
    script = answering(b'* LIST (\\x "/" broken\r\n* LIST ()\r\n* LIST () "/" good\r\n%t OK\r\n')
    async with imap(script) as (client, _):
        names = [box.name for box in await client.list_mailboxes()]
        assert b"good" in names
        assert len(client.unread_lists) + len(names) == 3


@pytest.mark.hazard("T19")
@pytest.mark.parametrize(
    "name", [b'x"\r\nm1 DELETE INBOX', b"\xca\xd5", b"a" * 4000, b'q"u\\o', b"{5}", b"* %"]
)
async def test_no_mailbox_name_can_end_a_command(name: bytes) -> None:
    async def bounded(talk: Talk) -> None:
        while True:
            line = await talk.line()
            tag = line.split(b" ")[0]
            if line.endswith(b"+}"):
                size = int(line[line.rindex(b"{") + 1 : -2])
                talk.received[:] = talk.received[talk._taken + size :]
                talk._taken = 0
                await talk.line()
            talk.send(tag + b" OK\r\n")

    async with imap(bounded, b"LITERAL+") as (client, rec):
        await client.subscribe(name)
        await client.subscribe(b"plain")
        assert b"DELETE INBOX\r\n" not in rec.received
        assert rec.received.endswith(b'SUBSCRIBE "plain"\r\n')


async def test_select_tells_what_the_server_told() -> None:
    script = answering(
        b"* FLAGS (\\Seen x)\r\n* 17 EXISTS\r\n* 1 RECENT\r\n* OK [UIDVALIDITY 3060268] ok\r\n"
        b"* OK [UIDNEXT 1390000001] next\r\n* OK [HIGHESTMODSEQ 99] m\r\n"
        b"* OK [PERMANENTFLAGS (\\Seen \\*)] p\r\n%t OK [READ-ONLY] done\r\n",
        b"* 1 EXISTS\r\n* OK [UIDVALIDITY 1] UIDs\r\n%t OK [READ-WRITE] done\r\n",
    )
    async with imap(script, b"CONDSTORE") as (client, rec):
        first = await client.select(b"INBOX", read_only=True)
        assert (first.uidvalidity, first.exists, first.uidnext, first.highestmodseq) == (
            3060268,
            17,
            1390000001,
            99,
        )
        assert (first.permanent_flags, first.read_only) == ({b"\\Seen", b"\\*"}, True)
        netease = await client.select(b"A")
        assert (netease.uidnext, netease.permanent_flags, netease.read_only) == (None, None, False)
        assert commands_of(rec) == [b'EXAMINE "INBOX" (CONDSTORE)', b'SELECT "A" (CONDSTORE)']


@pytest.mark.parametrize(
    ("answer", "kind", "cause"),
    [
        (b"%t NO SELECT Unsafe Login. Please contact kefu@188.com\r\n", Refused, Cause.CLIENT_ID_REQUIRED),
        (b"%t NO [INUSE] locked for a moment\r\n", Unavailable, Cause.ACCOUNT_LOCKED),
        (b"* 3 EXISTS\r\n%t OK\r\n", Unavailable, Cause.PROTOCOL_ERROR),
        (b"%t NO no such mailbox\r\n", Refused, Cause.UNKNOWN),
    ],
)
async def test_a_mailbox_that_does_not_open_says_why(answer: bytes, kind: type, cause: Cause) -> None:
    if cause is Cause.ACCOUNT_LOCKED:
        answer, cause = answer.replace(b"locked", b"busy"), Cause.SERVER_DOWN
    async with imap(answering(answer)) as (client, _):
        with pytest.raises((Refused, Unavailable)) as caught:
            await client.select(b"INBOX")
        assert (type(caught.value), caught.value.cause) == (kind, cause)


async def test_one_list_status_tells_of_all_mailboxes_and_the_rest_is_asked_for() -> None:
    script = answering(
        b'* LIST () "/" Inbox\r\n* STATUS Inbox (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 4 HIGHESTMODSEQ 5)\r\n'
        b'* LIST () "/" A\r\n* STATUS A (MESSAGES 0 UIDNEXT 0 UIDVALIDITY 9)\r\n%t OK\r\n',
        b"%t NO no such mailbox\r\n",
    )
    async with imap(script, b"LIST-STATUS CONDSTORE") as (client, rec):
        told = await client.status_all([b"INBOX", b"A", b"gone"])
        assert set(told) == {b"INBOX", b"A"}
        assert (told[b"INBOX"].exists, told[b"INBOX"].uidnext, told[b"INBOX"].highestmodseq) == (2, 3, 5)
        assert (told[b"A"].exists, told[b"A"].uidnext) == (0, None)
        assert commands_of(rec)[1] == b'STATUS "gone" (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)'


async def test_status_without_list_status_is_pipelined() -> None:
    async def pipelined(talk: Talk) -> None:
        lines = [await talk.line() for _ in range(3)]
        for line in lines:
            tag, _, name, *_ = line.split(b" ")
            talk.send(b"* STATUS " + name + b" (MESSAGES 1 UIDVALIDITY 2)\r\n" + tag + b" OK\r\n")

    async with imap(pipelined) as (client, _):
        assert set(await client.status_all([b"A", b"B", b"C"])) == {b"A", b"B", b"C"}


@pytest.mark.parametrize(
    ("answers", "role", "capabilities", "new"),
    [
        pytest.param([b"%t OK\r\n"], "sent", b"CREATE-SPECIAL-USE", True, id="with its role"),
        pytest.param(
            [b"%t NO [USEATTR] no\r\n", b"%t OK\r\n"], "sent", b"CREATE-SPECIAL-USE", True, id="role refused"
        ),
        pytest.param([b"%t NO [ALREADYEXISTS] there\r\n"], None, b"", False, id="there"),
        pytest.param(
            [b"%t NO Mailbox exists\r\n", b'* LIST () "/" Sent\r\n%t OK\r\n'],
            None,
            b"",
            False,
            id="there, no code",
        ),
    ],
)
async def test_a_mailbox_is_created_once(
    answers: list[bytes], role: str, capabilities: bytes, new: bool
) -> None:
    async with imap(answering(*answers), capabilities) as (client, rec):
        assert await client.create(b"Sent", role) is new
        if role:
            assert commands_of(rec)[0] == b'CREATE "Sent" (USE (\\Sent))'


async def test_a_refused_create_is_refused() -> None:
    async with imap(answering(b"%t NO [NOPERM] no\r\n", b"%t OK\r\n")) as (client, _):
        with pytest.raises(Refused):
            await client.create(b"Sent")


async def test_subscriptions_leave_out_parents_that_are_only_named() -> None:
    script = answering(b'* LSUB () "/" A\r\n* LSUB (\\Noselect) "/" P\r\n%t OK\r\n')
    async with imap(script) as (client, _):
        assert await client.subscribed() == {b"A"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'* NAMESPACE (("INBOX." ".")) NIL NIL\r\n%t OK\r\n', (b"INBOX.", b".")),
        (b'* NAMESPACE (("" "/")("#mh/" "/" "X" ("Y"))) NIL (("Public/" NIL))\r\n%t OK\r\n', (b"", b"/")),
        (b"* NAMESPACE NIL NIL NIL\r\n%t OK\r\n", None),
        (b"%t BAD command syntax error\r\n", None),
    ],
)
async def test_the_namespace_is_told_or_none(answer: bytes, expected: object) -> None:
    async with imap(answering(answer), b"NAMESPACE") as (client, _):
        assert await client.namespace() == expected


async def facts_of(client: ImapClient, uids: bytes = b"1:*") -> list[MessageFacts]:
    found: list[MessageFacts] = []
    await client.fetch_facts(uids, found.append)
    return found


D = b"17-Jul-1996 02:44:25 -0700"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            b'* 1 FETCH (UID 5 FLAGS (\\Seen \\Recent $x) INTERNALDATE "' + D + b'" RFC822.SIZE 10)\r\n',
            [MessageFacts(5, frozenset({b"\\Seen", b"$x"}), D, 10)],
            id="as Dovecot",
        ),
        pytest.param(
            b'* 1 FETCH (FLAGS () UID 5 INTERNALDATE "' + D + b'" RFC822.SIZE 10)\n',
            [MessageFacts(5, frozenset(), D, 10)],
            id="as Cyrus, bare LF",
        ),
        pytest.param(
            b'* 4 FETCH (RFC822.SIZE 10 FLAGS () UID 9 INTERNALDATE "' + D + b'")\r\n',
            [MessageFacts(9, frozenset(), D, 10)],
            id="as Exchange",
        ),
        pytest.param(
            b'* 1 FETCH (UID 5 FLAGS ())\r\n* 1 FETCH (UID 5 INTERNALDATE "' + D + b'" RFC822.SIZE 1)\r\n',
            [MessageFacts(5, frozenset(), D, 1)],
            id="in two answers",
        ),
        pytest.param(
            b"* 1 FETCH (UID 5 FLAGS () INTERNALDATE NIL RFC822.SIZE 1)\r\n",
            [MessageFacts(5, frozenset(), b"", 1)],
            id="no date",
        ),
        pytest.param(
            (b'* 1 FETCH (UID 5 FLAGS () INTERNALDATE "' + D + b'" RFC822.SIZE 1)\r\n') * 2,
            [MessageFacts(5, frozenset(), D, 1)],
            id="told twice",
        ),
        pytest.param(
            b'* 1 FETCH (UID 9 FLAGS () INTERNALDATE "' + D + b'" RFC822.SIZE 1)\r\n'
            b'* 2 FETCH (UID 5 FLAGS () INTERNALDATE "' + D + b'" RFC822.SIZE 1)\r\n'
            b"* 9 EXISTS\r\n* 3 EXPUNGE\r\n* 2 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 9 FLAGS (\\Seen))\r\n"
            b'* 3 FETCH (UID 7 FLAGS ({2}\r\nab) INTERNALDATE "' + D + b'" RFC822.SIZE 1)\r\n',
            [
                MessageFacts(9, frozenset(), D, 1),
                MessageFacts(5, frozenset(), D, 1),
                MessageFacts(7, frozenset({b"ab"}), D, 1),
            ],
            id="out of order, others in between",
        ),
        pytest.param(b"* 1 FETCH (UID what FLAGS ())\r\n* 2 FETCH\r\n", [], id="garbled"),
    ],
)
async def test_a_listing_tells_each_message_once(answer: bytes, expected: list[MessageFacts]) -> None:
    async with imap(answering(answer + b"%t OK\r\n")) as (client, rec):
        assert await facts_of(client) == expected
        assert commands_of(rec) == [b"UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)"]


async def test_a_message_of_which_only_flags_were_told_is_asked_for_once_more_and_once_only() -> None:
    """Dovecot says so much of mail that arrives while it answers; others never say more."""
    full = b'* 3 FETCH (UID 7 FLAGS () INTERNALDATE "' + D + b'" RFC822.SIZE 1)\r\n'
    for second, expected in (
        (full, MessageFacts(7, frozenset(), D, 1)),
        (b"* 3 FETCH (UID 7 FLAGS ())\r\n", MessageFacts(7, frozenset(), b"", None)),
    ):
        answers = [b"* 3 FETCH (UID 7 FLAGS ())\r\n%t OK\r\n", second + b"%t OK\r\n"]
        async with imap(answering(*answers)) as (client, rec):
            assert await facts_of(client) == [expected]
            assert commands_of(rec) == [
                b"UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
                b"UID FETCH 7 (UID FLAGS INTERNALDATE RFC822.SIZE)",
            ]


async def test_a_listing_cut_anywhere_is_the_same_listing() -> None:
    lines = b"".join(
        b'* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE "%s" RFC822.SIZE 7)\r\n' % (n, n, D)
        if n % 7
        else b'* %d FETCH (RFC822.SIZE 7 UID %d FLAGS ({1}\r\nx) INTERNALDATE "%s")\r\n' % (n, n, D)
        for n in range(1, 60)
    )

    async def dribble(talk: Talk) -> None:
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        tag = (await talk.line()).split(b" ")[0]
        for at in range(0, len(lines), 37):
            talk.send(lines[at : at + 37])
            await deferLater(reactor, 0, lambda: None)
        talk.send(tag + b" OK\r\n")

    async with imap(dribble) as (client, _):
        assert [fact.uid for fact in await facts_of(client)] == list(range(1, 60))


async def test_a_listing_of_50_000_messages_is_quick() -> None:
    lines = b"".join(
        b'* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE "%s" RFC822.SIZE 4711)\r\n' % (n, n + 10**9, D)
        for n in range(1, 50_001)
    )
    async with imap(answering(lines + b"%t OK\r\n")) as (client, _):
        began = time.process_time()
        found = await facts_of(client)
        spent = time.process_time() - began
        assert len(found) == 50_000
        assert spent < 1.5, f"{spent:.2f} s of CPU, the sending test server's included"


async def test_flags_since_a_modseq() -> None:
    script = answering(
        b"* 1 FETCH (UID 5 FLAGS (\\Seen) MODSEQ (9))\r\n* 2 FETCH (MODSEQ (9) UID 6 FLAGS ())\r\n%t OK\r\n"
    )
    async with imap(script) as (client, rec):
        found: dict[int, frozenset[bytes]] = {}
        await client.fetch_flags(b"1:*", found.__setitem__, changed_since=8)
        assert found == {5: frozenset({b"\\Seen"}), 6: frozenset()}
        assert commands_of(rec) == [b"UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 8)"]


async def test_changes_name_uids_and_nothing_else() -> None:
    ok = b"%t OK\r\n"
    async with imap(answering(*[ok] * 5), b"UIDPLUS") as (client, rec):
        await client.store_flags([3, 1, 2], [b"\\Seen", b"$x"], FlagChange.ADD)
        await client.store_flags([9], [], FlagChange.REPLACE)
        await client.store_flags([9], [], FlagChange.ADD)
        assert await client.delete([7, 9])
        await client.keepalive()
        assert commands_of(rec) == [
            b"UID STORE 1:3 +FLAGS.SILENT ($x \\Seen)",
            b"UID STORE 9 FLAGS.SILENT ()",
            b"UID STORE 7,9 +FLAGS.SILENT (\\Deleted)",
            b"UID EXPUNGE 7,9",
            b"NOOP",
        ]


async def test_without_uidplus_messages_are_only_flagged_as_deleted() -> None:
    async with imap(answering(b"%t OK\r\n")) as (client, rec):
        assert not await client.delete([7])
        assert len(commands_of(rec)) == 1


@pytest.mark.parametrize(
    ("capabilities", "answers"),
    [
        (b"MOVE UIDPLUS", [b"* OK [COPYUID 9 3,5 11:12] moved\r\n* 1 EXPUNGE\r\n%t OK done\r\n"]),
        (b"UIDPLUS", [b"%t OK [COPYUID 9 3,5 11:12] done\r\n", b"%t OK\r\n", b"%t OK\r\n"]),
    ],
)
async def test_moving_tells_the_new_uids(capabilities: bytes, answers: list[bytes]) -> None:
    async with imap(answering(*answers), capabilities) as (client, rec):
        assert await client.move([5, 3], b"B") == {3: 11, 5: 12}
        assert len(commands_of(rec)) == len(answers)


async def test_netease_is_kept_awake_by_status() -> None:
    profile = Profile(profile_id="n", names={}, keepalive_command="STATUS")
    async with imap(answering(b"%t OK\r\n"), profile=profile) as (client, rec):
        await client.keepalive()
        assert commands_of(rec) == [b'STATUS "INBOX" (MESSAGES)']


async def test_the_append_limit_is_read_from_the_capabilities() -> None:
    async with imap(answering(), b"APPENDLIMIT=1048576 multiappend") as (client, _):
        assert client.append_limit == 1048576
        assert client.batches
        assert not client.tells_uids


async def test_what_came_behind_the_login_is_heard_first() -> None:
    async with imap(answering(b"%t OK\r\n"), residual=b"* CAPABILITY IMAP4rev1 MULTIAPPEND\r\n") as (
        client,
        _,
    ):
        assert client.batches


def leaving(words: bytes, *, after: int = 1) -> Script:
    async def run(talk: Talk) -> None:
        for _ in range(after):
            await talk.line()
        talk.send(words)
        talk.close()

    return run


@pytest.mark.parametrize(
    ("words", "cause", "text"),
    [
        (b"", Cause.SERVER_DOWN, "during select"),
        (b"* BYE Server shutting down.\r\n", Cause.SERVER_DOWN, "shutting down"),
        (b"* BYE Session expired, please login again\r\n", Cause.RATE_LIMITED, "expired"),
        (b"+ what\r\n* OK hm\r\n", Cause.SERVER_DOWN, "during select"),
        (b"nonsense\r\n", Cause.PROTOCOL_ERROR, "no IMAP"),
        (b"zz9 OK surprise\r\n", Cause.PROTOCOL_ERROR, "never sent"),
        (b"* OK " + b"x" * 300_000, Cause.PROTOCOL_ERROR, "no IMAP"),
        (b"* LIST () NIL {9999999}\r\n", Cause.PROTOCOL_ERROR, "larger"),
        (b"* 1 FETCH (UID {-1}\r\n", Cause.PROTOCOL_ERROR, "no IMAP"),
    ],
)
async def test_a_session_that_breaks_is_unavailable_for_good(words: bytes, cause: Cause, text: str) -> None:
    async with imap(leaving(words)) as (client, _):
        with pytest.raises(Unavailable, match=text) as caught:
            await client.select(b"INBOX")
        assert caught.value.cause is cause
        assert client.closed
        with pytest.raises(Unavailable):
            await client.keepalive()


async def test_commands_that_wait_behind_a_broken_one_break_too() -> None:
    async with imap(leaving(b"", after=2)) as (client, _):
        running = [ensureDeferred(client.keepalive()) for _ in range(3)]
        for one in running:
            with pytest.raises(Unavailable):
                await one


@pytest.mark.parametrize("silent", ["from the start", "after a while"])
async def test_a_command_that_is_not_answered_ends_the_session(silent: str) -> None:
    clock = Clock()

    async def says_little(talk: Talk) -> None:
        await talk.line()
        if silent == "after a while":
            talk.send(b"* 1 EXISTS\r\n")

    async with imap(says_little, clock=clock) as (client, rec):
        waiting = ensureDeferred(client.select(b"INBOX"))
        talk = await rec.talk()
        await talk.until(lambda: b"SELECT" in talk.received)
        clock.advance(119)
        assert not waiting.called
        clock.pump([120.0, 120.0])
        with pytest.raises(Unavailable, match="no answer to select in 120 s") as caught:
            await waiting
        assert caught.value.cause is Cause.SERVER_DOWN
        assert not clock.getDelayedCalls()


async def test_logout_is_said_and_a_server_that_only_closes_is_as_good() -> None:
    for script in (answering(b"* BYE bye\r\n%t OK\r\n"), leaving(b"* BYE bye\r\n"), leaving(b"")):
        async with imap(script) as (client, rec):
            await client.logout()
            assert commands_of(rec) == [b"LOGOUT"]
            assert client.closed
            await client.logout()


async def test_logout_waits_ten_seconds_and_no_longer() -> None:
    clock = Clock()

    async def mute(talk: Talk) -> None:
        await talk.line()

    async with imap(mute, clock=clock) as (client, rec):
        leaving_ = ensureDeferred(client.logout())
        talk = await rec.talk()
        await talk.until(lambda: b"LOGOUT" in talk.received)
        clock.advance(10)
        await leaving_
        assert client.closed
