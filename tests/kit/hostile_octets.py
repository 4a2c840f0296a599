"""What strangers send to a mail port before they log in: name to octets, for IMAP and for POP3."""

from __future__ import annotations

TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + b"\x11" * 190

_SHARED: dict[str, bytes] = {
    "8-bit": bytes(range(128, 256)) + b"\r\n",
    "a line of 1 MB": b"x" * 1_000_000,
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: mail.firm.test\r\n\r\n",
    "a TLS hello": TLS_HELLO,
    "a PROXY line": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
}
HOSTILE_IMAP: dict[str, bytes] = {
    **_SHARED,
    "NUL": b"a \0NOOP\0\r\n",
    "a tag of 20 kB": b"a" * 20_000 + b" NOOP\r\n",
    "a literal of 2 GB": b"a LOGIN {2000000000}\r\n",
    "a literal of 2 GB at once": b"a LOGIN {2000000000+}\r\n" + b"y" * 100_000,
    "a negative literal": b"a LOGIN {-1}\r\n",
    "a literal of 20 digits": b"a LOGIN {99999999999999999999}\r\n",
    "60,000 parentheses": b"a ID " + b"(" * 60_000 + b"\r\n",
    "ID with 6,000 pairs": b"a ID (" + b'"k" "v" ' * 6_000 + b")\r\n",
    "5 kB of junk base64": b"a AUTHENTICATE PLAIN " + b"!=\t" * 1_700 + b"\r\n",
    "200 bad commands": b"a WHAT\r\n" * 200,
    "bare LF": b"a NOOP\n" * 10,
    "STARTTLS with a command behind": b"a STARTTLS\r\nb NOOP\r\n",
    "an unfinished escape": b'a LOGIN "u\\\r\n',
    "COMPRESS": b"a COMPRESS DEFLATE\r\n",
}
HOSTILE_POP3: dict[str, bytes] = {
    **_SHARED,
    "NUL": b"LI\0ST\0\r\n",
    "a tag of 20 kB": b"USER " + b"a" * 20_000 + b"\r\n",
    "a literal of 2 GB": b"{2000000000}\r\n",
    "a literal of 2 GB at once": b"{2000000000+}\r\n" + b"y" * 100_000,
    "a negative literal": b"RETR {-1}\r\n",
    "a literal of 20 digits": b"RETR 99999999999999999999\r\n",
    "60,000 parentheses": b"(" * 60_000 + b"\r\n",
    "ID with 6,000 pairs": b"ID (" + b'"k" "v" ' * 6_000 + b")\r\n",
    "5 kB of junk base64": b"AUTH PLAIN " + b"!=\t" * 1_700 + b"\r\n",
    "200 bad commands": b"WHAT\r\n" * 200,
    "bare LF": b"LIST\n" * 4,
    "STARTTLS with a command behind": b"STLS\r\nNOOP\r\n",
    "an unfinished escape": b'PASS "u\\\r\n',
    "COMPRESS": b"COMPRESS DEFLATE\r\n",
}
assert HOSTILE_IMAP.keys() == HOSTILE_POP3.keys()
