"""The Chinese of what other rooms tell in English: nothing is missing, nothing is dead, nothing is mistaken."""

from __future__ import annotations

import ast
import re
import string
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mailferry
from mailferry.net import tls_client
from mailferry.web.telling import failure_in_chinese, in_chinese
from mailferry.web.told_words import CONNECTIONS, FILES, FORMS, REFUSALS, ROSTER

SOURCE = Path(str(mailferry.__file__)).parent
CHINESE = re.compile(r"[\u4e00-\u9fff]")
VALUE = "\0"
WRITERS = {
    "RosterRefusal": ("roster", "web"),
    "NoSuchAccount": ("roster",),
    "NoSuchDomain": ("roster",),
    "Forbidden": ("roster",),
    "RowFault": ("plan", "roster"),
    "BadAddress": ("plan",),
    "BadRequest": ("web",),
    "BadServerUrl": ("model",),
    "ValueError": ("config/domains.py",),
    "Unavailable": ("net", "remote"),
    "CannotDial": ("net",),
    "ClosedReason": ("net",),
    "failure": ("net/tls_client.py",),
}
"""What raises or keeps a sentence that a page may show, and where."""
BESIDE = {
    *("target", "source", "password"),
    f"STAT: {VALUE}",
    "verified is yes or no",
    f"{VALUE} stands there more than once",
}
"""Columns, what a protocol calls itself, a hand-made address of a page, and a fault of a file of domains."""
UNTOLD = {"epoch", "stored", "seen", "kind"}
"""Values that say nothing to somebody who reads a page."""
PLACES = (
    "roster", "plan", "web", "config", "model", "net", "remote", "passwords", "store/faults.py",
    "store/accounts.py", "store/cutovers.py", "login/scripted_backend.py",
)  # fmt: skip
PUT_TOGETHER = {key for key in ROSTER if "{address}" in key and "switched" in key} | {
    *(key for key in ROSTER if "its password was never set" in key),
    "{address} has just changed by itself; look at it again",
    "{address}: {sessions} sessions are still open after {seconds} seconds; try again in a quiet moment",
    "{why} during {command}",
    "the server broke the protocol: {reason}",
}
"""Made of parts that stand apart in the source: the tests below make them."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def modules(*places: str) -> Iterator[Path]:
    for place in places:
        path = SOURCE / place
        yield from [path] if path.suffix else sorted(path.rglob("*.py"))


def words_of(node: ast.AST) -> str | None:
    """Return a text of the source with a mark for each value that is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)
    return None


def made_by(name: str, places: tuple[str, ...]) -> set[str]:
    """Return what is told by calls of `name`."""
    found = set()
    for path in modules(*places):
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called == name:
                found |= {words for one in node.args if (words := words_of(one))}
    return {words for words in found if any(character.isalpha() for character in words)}


def marked(english: str) -> str:
    parts = string.Formatter().parse(english)
    return "".join(literal + ("" if name is None else VALUE) for literal, name, _, _ in parts)


KNOWN = {marked(english): english for english in {**REFUSALS, **CONNECTIONS}}


@pytest.mark.parametrize("name", WRITERS)
def test_every_sentence_that_a_page_may_show_has_its_chinese(name: str) -> None:
    told = made_by(name, WRITERS[name])
    assert told, "somebody gave this another name"
    assert told - set(KNOWN) - BESIDE == set()


def test_every_fault_of_a_handshake_has_its_chinese() -> None:
    told = {*tls_client._CHAIN_FAULTS.values(), *(meaning for _, meaning in tls_client._HANDSHAKE_FAULTS)}
    assert told <= set(CONNECTIONS)


def test_every_sentence_of_the_catalogue_is_told_by_somebody() -> None:
    there: set[str] = set()
    for path in modules(*PLACES):
        if path.name != "told_words.py":
            there |= {words for node in ast.walk(tree(path)) if (words := words_of(node))}
    assert {english for text, english in KNOWN.items() if text not in there} - PUT_TOGETHER == set()


def values_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_each_sentence_has_its_chinese_with_the_same_values() -> None:
    for english, chinese in {**REFUSALS, **CONNECTIONS}.items():
        assert values_of(english) - UNTOLD == values_of(chinese), english
        assert CHINESE.search(chinese) or chinese in {"{url}：{why}", "{server}：{why}"}, english
        assert not CHINESE.search(english.replace("搬家帐号", "")), english
    assert len(REFUSALS) == len(ROSTER) + len(FILES) + len(FORMS)


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("the file is empty", "文件为空"),
        ("'x' is no account's address: a login name without a domain", "'x' 不是账号地址：登录名缺少域名"),
        ("li@a.test is failed: there is nothing to try again", "li@a.test 当前为“失败”，没有可重试的内容"),
        (
            "li@a.test is done (phase SWITCHED): the old mailbox's password is not needed",
            "li@a.test 当前为“完成”（已搬完）：不需要原邮箱密码",
        ),
        ("is missing; write a whole number", "必须填写；请填写整数"),
        ("'http://x': an address begins with imaps://, imap://, pop3s:// or pop3://",
         "'http://x'：地址应以 imaps://、imap://、pop3s:// 或 pop3:// 开头"),
        ("something else; the file is empty", "something else；文件为空"),
    ],
)  # fmt: skip
def test_sentences_are_found_with_their_values(english: str, chinese: str) -> None:
    assert in_chinese(english) == chinese


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("imap.a.test:993: connection refused; no answer", "imap.a.test:993：连接被拒绝；没有响应"),
        ("[2001:db8::1]:993: no answer within 30 s", "[2001:db8::1]:993：30 秒内没有响应"),
        (
            "a.test:143: the peer closed the connection during the login",
            "a.test:143：登录过程中对方关闭了连接",
        ),
        ("the connection was lost during UID FETCH", "执行 UID FETCH 时连接中断"),
        ("the server broke the protocol: no tag", "服务器不符合协议：no tag"),
    ],
)
def test_failures_of_connections_are_told(english: str, chinese: str) -> None:
    assert failure_in_chinese(english) == chinese


@pytest.mark.parametrize(
    "words",
    [
        "",
        "NO [AUTHENTICATIONFAILED] your account: has expired",
        "ERR.LOGIN.PASSERR: something went wrong during login",
        "this message is too long",
        "password is not a number",
        "the file is empty",
        "x" * 5000,
    ],
)
def test_a_servers_own_words_stay_what_they_are(words: str) -> None:
    assert failure_in_chinese(words) == words


def test_a_sentence_that_says_what_a_server_may_say_is_not_found_in_its_words() -> None:
    assert in_chinese("this message is too long") == "this message is too long"
    assert in_chinese("address is too long") == "address 过长"


PIECES = sorted({piece for english in KNOWN for piece in english.split(VALUE) if piece})


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=12).map("".join))
def test_no_words_of_a_stranger_break_a_page(text: str) -> None:
    assert isinstance(in_chinese(text), str)
    assert isinstance(failure_in_chinese(text), str)


@pytest.mark.hazard("T40")
@pytest.mark.parametrize(
    "piece", [" is ", ": ", "; ", " during the login", "TLS failed: ", "the server broke the protocol: "]
)
def test_words_that_look_like_ours_all_over_cost_no_time(piece: str) -> None:
    before = time.process_time()
    in_chinese((piece * 2000)[:2000])
    assert time.process_time() - before < 1.0
