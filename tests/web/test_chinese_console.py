"""What the console refuses and finds wrong, read in Chinese; the API and the command line keep their English."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.roster import switching
from mailferry.store.database import Database
from tests.store.rows import node, open_session
from tests.web.accounts import DOMAIN, USER, add_account, add_domain, add_failed, get
from tests.web.browser import Browser, shown
from tests.web.program import Program, make_token


@pytest.fixture
def failed(store: Database) -> None:
    add_domain(store)
    add_failed(store, cause=Cause.TLS_ERROR, text="imap.old.test:993: the server's certificate has expired")


def refused(admin: Browser, path: str, fields: dict[str, str], status: int = 409) -> str:
    """Return the alert of a page in Chinese, as people read it."""
    answer = admin.post(f"{path}?lang=zh", fields)
    assert answer.status_code == status
    return shown(answer.text)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("approve", f"{USER} 没有待批准的内容"),
        ("reset", f"{USER} 当前为“失败”：只有非搬家账号"),
        ("exclude", f"{USER} 当前为“失败”：只有尚未开始搬家的账号才能设为无需搬家"),
        ("switch", f"{USER}：新服务器上尚未设置其密码"),
    ],
)
def test_what_an_account_refuses(admin: Browser, failed: None, action: str, words: str) -> None:
    assert words in refused(admin, f"/admin/account/{action}", {"address": USER})


def test_an_account_that_is_in_use_or_is_done_is_not_switched(
    admin: Browser, store: Database, monkeypatch: pytest.MonkeyPatch, failed: None
) -> None:
    monkeypatch.setattr(switching, "DRAIN_SECONDS", 0.25)
    open_session(store, get(store), node(store))
    used = refused(admin, "/admin/account/switch", {"address": USER, "force": "1"})
    assert f"{USER}：0.25 秒后仍有 1 个会话未断开，请在空闲时重试" in used
    add_account(store, "new@old.test", Event.TARGET_ONLY)
    done = refused(admin, "/admin/account/switch", {"address": "new@old.test"})
    assert "new@old.test 当前阶段为“无需搬家”：只有已开始搬家" in done


def test_what_is_not_there(admin: Browser) -> None:
    answer = admin.get("/admin/account?address=nobody@old.test&lang=zh")
    assert answer.status_code == 404
    assert "没有账号 nobody@old.test：用户首次登录或导入名单后才会出现" in shown(answer.text)
    page = shown(admin.get("/admin/account?address=nobody&lang=zh").text)
    assert (
        "&#39;nobody&#39; 不是账号地址：登录名缺少域名" in page
        or "'nobody' 不是账号地址：登录名缺少域名" in page
    )


def test_our_own_network_failure_is_told_and_a_servers_words_are_not_touched(
    admin: Browser, store: Database, failed: None
) -> None:
    path = "/admin/account?lang=zh&address="
    assert "imap.old.test:993：服务器证书已过期" in shown(admin.get(path + USER).text)
    add_failed(store, "wang@old.test", text="NO this account has expired")
    assert "NO this account has expired" in shown(admin.get(path + "wang@old.test").text)


@pytest.mark.hazard("T40")
def test_faults_of_a_file(admin: Browser, failed: None) -> None:
    file = "target,source,password\r\nno,,\r\nli@old.test,,\r\nli@old.test,,\r\nwang@else.test,,\r\nzhao@old.test,,\x01\r\n"
    page = shown(admin.upload("/admin/import?lang=zh", file.encode()).text)
    for words in (
        "登录名缺少域名",
        f"{USER} 已在第 3 行出现",
        "没有域名 else.test，请先添加",
        "含有换行、制表符或其他控制字符",
    ):
        assert words in page
    assert "请先选择文件" in shown(admin.upload("/admin/import?lang=zh", b"", name="").text)


def test_faults_of_a_domains_form(admin: Browser, failed: None) -> None:
    fields = {"do": "add", "name": "x", "source": "http://imap.old.test", "window_days": "soon"}
    page = refused(admin, "/admin/domains/add", {**fields, "push_codes": "1"}, 400)
    assert "请填写域名，例如 example.com" in page
    assert "地址应以 imaps://、imap://、pop3s:// 或 pop3:// 开头" in page
    assert "请填写整数" in page
    there = {"do": "add", "name": DOMAIN, "source": "imaps://imap.old.test", "window_days": "30"}
    there |= {"provider": "generic", "login_form": "full", "switch": "when-copied", "language": "both"}
    assert f"域名 {DOMAIN} 已存在" in refused(admin, "/admin/domains/add", there)
    assert "期限可延长 1 到" in refused(admin, "/admin/domain/extend", {"name": DOMAIN, "days": "0"})


def test_a_program_reads_english_whatever_it_accepts(site: FastAPI, store: Database, failed: None) -> None:
    robot = Program(site, make_token(store))
    answer = robot.ask("POST", f"/accounts/{USER}/approve", headers={"accept-language": "zh"})
    assert answer.json()["detail"] == f"nothing of {USER} waits for approval"
