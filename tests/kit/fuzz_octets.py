"""Octets as a hostile peer would send them: words of the protocol, broken and put together at random."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from hypothesis import strategies as st

IMAP_WORDS = (
    b"a", b"*", b"+", b" ", b"\r\n", b"\n", b"\r", b"\0", b"(", b")", b"()", b'"', b'"x"', b"\\", b'"\\"', b"NIL",
    b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH", b"[", b"]", b"[CAPABILITY IMAP4rev1]", b"[APPENDUID 1 2:4]", b"[X",
    b"{", b"}", b"{0}", b"{3}", b"{3+}", b"~{2}", b"{-1}", b"{99999999999999999999}", b"{2000000000}", b"{+}",
    b"LOGIN", b"AUTHENTICATE PLAIN", b"AUTHENTICATE LOGIN", b"=", b"AHUAcA==", b"STARTTLS", b"ID", b"CAPABILITY",
    b"NOOP", b"LOGOUT", b"IDLE", b"DONE", b"APPEND", b"SELECT", b"INBOX", b"FETCH", b"UID", b"FLAGS", b"BODY[]",
    b"RFC822.SIZE", b"INTERNALDATE", b"LIST", b"STATUS", b"SEARCH", b"EXISTS", b"1", b"4294967296", b"0", b",", b":",
    b"&", b"&-", b"&ZTZO9nux-", b"\xff", b"\xe6\x94\xb6", b"%", b"a OK done\r\n", b"* OK ready\r\n", b"+ go\r\n",
    b"a LOGIN u p\r\n", b"a LOGIN {1}\r\nu {1}\r\np\r\n", b"* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n", b"a" * 300,
)  # fmt: skip
POP3_WORDS = (
    b"+OK", b"-ERR", b"+OK 1 2\r\n", b"-ERR [SYS/TEMP] x\r\n", b"+", b"+ ", b" ", b"\r\n", b"\n", b"\r", b".", b"..",
    b".\r\n", b"\r\n.\r\n", b"\n.\n", b"USER", b"PASS", b"USER u\r\n", b"PASS p\r\n", b"AUTH", b"AUTH PLAIN", b"AHUAcA==",
    b"CAPA\r\n", b"STLS\r\n", b"QUIT\r\n", b"STAT\r\n", b"LIST\r\n", b"LIST 1\r\n", b"UIDL\r\n", b"UIDL 2\r\n", b"RETR 1\r\n",
    b"TOP 1 0\r\n", b"DELE 1\r\n", b"RSET\r\n", b"NOOP\r\n", b"XTND\r\n", b"1 a\r\n2 b\r\n", b"1 120\r\n", b"1", b"0", b"-1",
    b"99999999999999999999", b"\0", b"\xff", b"x" * 600, b"*", b"=",
)  # fmt: skip
IMAP_CLIENT_LINES = (
    b"a LOGIN u@x.test secret\r\n", b'b LOGIN "u" "p\\"q"\r\n', b"c LOGIN {1+}\r\nu {2+}\r\npq\r\n",
    b"d LOGIN {8}\r\nu@x.test {1}\r\np\r\n", b"e AUTHENTICATE PLAIN AHUAcA==\r\n", b"f AUTHENTICATE PLAIN\r\nAHUAcA==\r\n",
    b"g AUTHENTICATE LOGIN\r\ndQ==\r\ncA==\r\n", b"h AUTHENTICATE PLAIN\r\n*\r\n", b"i AUTHENTICATE PLAIN dgB1AHA=\r\n",
    b"j CAPABILITY\r\n", b"k NOOP\r\n", b'l ID ("name" "x" "version" NIL)\r\n', b"m ID NIL\r\n", b"n STARTTLS\r\n",
    b"o LOGOUT\r\n", b"p LOGIN v*m secret\r\n", b"q LOGIN u {9000+}\r\n", b"r SELECT INBOX\r\n", b"s IDLE\r\nDONE\r\n",
    b"t UID FETCH 1:* (FLAGS BODY.PEEK[])\r\n", b"u APPEND INBOX {3+}\r\nabc\r\n", b"v APPEND INBOX {2}\r\nab {1}\r\nx\r\n",
)  # fmt: skip
IMAP_SERVER_LINES = (
    b"* OK ready\r\n", b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR ID NAMESPACE] hi\r\n", b"* PREAUTH hi\r\n",
    b"* BYE later\r\n", b"* BYE [UNAVAILABLE] later\r\n", b"t0 OK done\r\n", b"t1 OK done\r\n", b"t2 OK done\r\n", b"t3 OK done\r\n",
    b"t4 OK done\r\n", b"t1 OK [CAPABILITY IMAP4rev1 NAMESPACE] in\r\n", b"t0 NO [AUTHENTICATIONFAILED] no\r\n", b"t2 NO no\r\n",
    b"t1 BAD what\r\n", b"t0 BAD\r\n", b"* CAPABILITY IMAP4rev1 LOGINDISABLED STARTTLS\r\n", b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
    b"+ \r\n", b"+ go on\r\n", b'* ID ("name" "x")\r\n', b'* NAMESPACE (("" "/")) NIL NIL\r\n', b'* LIST (\\Noselect) "/" ""\r\n',
    b"* 3 EXISTS\r\n", b"* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n", b"a OK done\r\n", b"r OK [READ-WRITE] done\r\n", b"s OK done\r\n",
)  # fmt: skip
POP3_CLIENT_LINES = (
    b"USER u@x.test\r\n", b"PASS secret\r\n", b"PASS a b \r\n", b"AUTH PLAIN AHUAcA==\r\n", b"AUTH PLAIN\r\nAHUAcA==\r\n",
    b"AUTH LOGIN\r\ndQ==\r\ncA==\r\n", b"AUTH\r\n", b"AUTH PLAIN\r\n*\r\n", b"CAPA\r\n", b"STLS\r\n", b"NOOP\r\n", b"QUIT\r\n",
    b"USER v*m\r\n", b"STAT\r\n", b"UIDL\r\n", b"LIST\r\n", b"LIST 1\r\n", b"UIDL 1\r\n", b"RETR 1\r\n", b"RETR 2\r\n", b"TOP 1 5\r\n",
    b"DELE 1\r\n", b"RSET\r\n", b"LAST\r\n",
)  # fmt: skip
POP3_SERVER_LINES = (
    b"+OK ready\r\n", b"+OK\r\n", b"+OK\r\n", b"+OK 2 240\r\n", b"-ERR\r\n", b"-ERR [AUTH] no\r\n", b"-ERR [SYS/TEMP] later\r\n",
    b"+ \r\n", b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n", b"+OK\r\n1 120\r\n2 120\r\n3 9\r\n.\r\n", b"+OK\r\nSASL PLAIN\r\nSTLS\r\nUIDL\r\n.\r\n",
    b"+OK\r\nSubject: x\r\n\r\n..dot\r\n.\r\n", b"+OK 1 120\r\n", b"+OK 1 a\r\n",
)  # fmt: skip


def imap_octets(size: int = 30) -> st.SearchStrategy[bytes]:
    """Return octets that look somewhat like IMAP."""
    return _mixed(IMAP_WORDS, size)


def pop3_octets(size: int = 30) -> st.SearchStrategy[bytes]:
    """Return octets that look somewhat like POP3."""
    return _mixed(POP3_WORDS, size)


def imap_client(size: int = 12) -> st.SearchStrategy[bytes]:
    """Return commands, mostly whole, and octets that are none."""
    return _talk(IMAP_CLIENT_LINES, imap_octets, size)


def imap_server(size: int = 12) -> st.SearchStrategy[bytes]:
    """Return responses, mostly whole, and octets that are none."""
    return _talk(IMAP_SERVER_LINES, imap_octets, size)


def pop3_client(size: int = 12) -> st.SearchStrategy[bytes]:
    """Return commands, mostly whole, and octets that are none."""
    return _talk(POP3_CLIENT_LINES, pop3_octets, size)


def pop3_server(size: int = 12) -> st.SearchStrategy[bytes]:
    """Return replies, mostly whole, and octets that are none."""
    return _talk(POP3_SERVER_LINES, pop3_octets, size)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    """Cut octets at the given places, in order, places beyond the end left out."""
    places = sorted({cut % (len(octets) + 1) for cut in cuts} | {0, len(octets)})
    return [octets[start:end] for start, end in pairwise(places)]


def cuts() -> st.SearchStrategy[list[int]]:
    """Return places to cut at."""
    return st.lists(st.integers(0, 5000), max_size=8)


def _talk(
    lines: tuple[bytes, ...], octets: Callable[[int], st.SearchStrategy[bytes]], size: int
) -> st.SearchStrategy[bytes]:
    whole = st.lists(st.sampled_from(lines), max_size=size).map(b"".join)
    return st.one_of(whole, st.builds(_spoilt, whole, octets(2), st.integers(0, 2000)), octets(size))


def _spoilt(whole: bytes, octets: bytes, place: int) -> bytes:
    """Put foreign octets somewhere into a good conversation."""
    place %= len(whole) + 1
    return whole[:place] + octets + whole[place:]


def _mixed(words: tuple[bytes, ...], size: int) -> st.SearchStrategy[bytes]:
    word = st.one_of(
        st.sampled_from(words),
        st.sampled_from(words),
        st.binary(max_size=12),
        st.tuples(st.sampled_from(words), st.integers(2, 400)).map(lambda pair: (pair[0] * pair[1])[:9000]),
    )
    spaced = st.lists(word, max_size=size).map(b" ".join)
    return st.one_of(spaced, st.lists(word, max_size=size).map(b"".join))
