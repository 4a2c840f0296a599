from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.model.profile import FACTS, Confidence, Profile, SendId
from mailferry.providers.loader import BadProfile, load_profiles
from mailferry.providers.values import READERS
from mailferry.wire.imap_names import decode_strict

NAMES = 'names = { en = "X", zh = "某" }\n'
DOVECOT = 'based_on = "dovecot"\n'
OURS = Path(__file__).parents[2] / "src/mailferry/providers/profiles"
SYSTEMS = {
    "tencent_exmail", "qq", "netease_qiye", "netease_free", "aliyun_qiye", "net263", "ch35", "coremail",
    "gmail", "m365", "exchange_onprem", "dovecot", "courier", "cyrus", "zimbra", "generic",
}  # fmt: skip
PROFILES = load_profiles()


def site(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return str(folder)


def faults(folder: Path, **files: str) -> list[str]:
    with pytest.raises(BadProfile) as caught:
        load_profiles(site(folder, **files))
    return list(caught.value.faults)


def test_every_system_has_a_profile() -> None:
    assert set(PROFILES) == SYSTEMS
    assert all(profile.profile_id == name for name, profile in PROFILES.items())


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_every_fact_of_ours_has_its_confidence(name: str) -> None:
    profile = PROFILES[name]
    assert set(profile.confidence) == set(FACTS)
    assert set(profile.notes) <= set(FACTS)


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_what_is_unknown_is_the_standards_behaviour(name: str) -> None:
    empty = Profile("x", {})
    profile = PROFILES[name]
    for fact in FACTS:
        if not profile.known(fact):
            assert getattr(profile, fact) == getattr(empty, fact)


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_every_system_has_a_checklist_in_both_languages(name: str) -> None:
    for step in PROFILES[name].checklist:
        assert step.en[0].isascii()
        assert any("\u4e00" <= letter <= "\u9fff" for letter in step.zh)
    assert PROFILES[name].checklist


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tencent_exmail", ("收取全部的邮件", "微信动态密码", "安全登录", "客户端专用密码", "开启 IMAP")),
        ("qq", ("授权码",)),
        (
            "netease_qiye",
            ("收取全部的邮件", "客户端授权码", "强制开启二次登录验证", "异地登录提醒", "Outlook"),
        ),
        ("netease_free", ("授权码",)),
        ("aliyun_qiye", ("三方客户端安全密码", "允许 POP 方式导出邮件", "postmaster")),
        ("net263", ("客户端收取邮件时间", "不进行归档", "信任登录地", "正文为空", "Outlook")),
        ("coremail", ("专用密码", "安全锁")),
        ("gmail", ("应用专用密码", "不限制 IMAP")),
        ("exchange_onprem", ("ImapEnabled", "LoginType")),
        ("m365", ("OAuth",)),
    ],
)
def test_the_checklist_names_the_switches_of_the_provider(name: str, words: tuple[str, ...]) -> None:
    text = "\n".join(step.zh for step in PROFILES[name].checklist)
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    ("name", "wire", "where"),
    [
        ("tencent_exmail", b"&UXZO1mWHTvZZOQ-", "strip"),
        ("tencent_exmail", b"&UXZO1mWHTvZZOQ-/QQ&kK5O9ouilgU-", "skip"),
        ("netease_qiye", b"&g0l6P3ux-", "drafts"),
        ("netease_qiye", b"&XfJT0ZAB-", "sent"),
        ("netease_qiye", b"&XfJSIJZk-", "trash"),
        ("netease_free", b"&V4NXPpCuTvY-", "junk"),
        ("coremail", b"&dcVr0mWHTvZZOQ-", "skip"),
        ("exchange_onprem", b"&ZeVThg-", "skip"),
        ("exchange_onprem", b"&gFR8+066-", "skip"),
        ("m365", b"&W,mL3VOGU,KLsF9V-", "skip"),
        ("m365", b"RSS &bpA-", "skip"),
        ("m365", b"Files", "skip"),
        ("exchange_onprem", b"&XfJT0ZABkK5O9g-", "sent"),
        ("exchange_onprem", b"&XfJSIJZkkK5O9g-", "trash"),
        ("exchange_onprem", b"&V4NXPnU1W1CQrk72-", "junk"),
        ("gmail", b"[Gmail]/&XfJT0ZCuTvY-", "sent"),
        ("gmail", b"[Gmail]/&kc2JgQ-", "skip"),
    ],
)
def test_mailbox_names_as_they_are_on_the_wire_are_known(name: str, wire: bytes, where: str) -> None:
    profile = PROFILES[name]
    known = {"skip": profile.skip_mailboxes, "strip": profile.strip_parents, **profile.special_mailboxes}
    assert decode_strict(wire) in known[where]


def test_what_netease_and_tencent_need_is_written_down() -> None:
    for name in ("netease_qiye", "netease_free", "coremail"):
        assert PROFILES[name].send_id is SendId.BOTH
        assert PROFILES[name].special_mailboxes["sent"] == ("已发送",)
    for name in ("tencent_exmail", "qq"):
        assert not PROFILES[name].login_literals
        assert PROFILES[name].max_command_octets <= 2048
        assert PROFILES[name].strip_parents == ("其他文件夹",)


def test_only_what_no_password_opens_is_not_movable() -> None:
    assert [name for name, profile in PROFILES.items() if not profile.password_login] == ["m365"]


def test_nothing_is_skipped_at_an_unknown_server() -> None:
    assert PROFILES["generic"].skip_mailboxes == ()


def test_each_fact_has_a_reader_of_its_values() -> None:
    assert set(READERS) == set(FACTS)


def test_a_site_adds_a_profile_and_corrects_one_of_ours(tmp_path: Path) -> None:
    rule = (
        '[[error_rules]]\nid = "own"\npattern = "gone fishing"\ncause = "server_down"\n'
        'ambiguous = true\nconfidence = "high"\n'
    )
    limit = 'max_connections = { value = 4, confidence = "high", note = "agreed by phone" }\n'
    nobody_knows = (
        'max_connections = { confidence = "unknown" }\nsend_id = { value = "never", confidence = "low" }\n'
    )
    profiles = load_profiles(
        site(tmp_path, own_host=NAMES + DOVECOT + limit + rule, dovecot=DOVECOT + nobody_knows)
    )
    own = profiles["own_host"]
    assert (own.profile_id, own.names["en"]) == ("own_host", "X")
    assert (own.max_connections, own.notes["max_connections"]) == (4, "agreed by phone")
    assert own.error_rules[0].ambiguous
    assert own.confidence["error_rules"] is Confidence.HIGH
    assert own.greeting_patterns == PROFILES["dovecot"].greeting_patterns  # not stated: of the base
    corrected = profiles["dovecot"]
    assert corrected.names == PROFILES["dovecot"].names
    assert corrected.send_id is SendId.NEVER
    assert corrected.max_connections is None  # unknown here, whatever ours says
    assert not corrected.known("max_connections")
    assert {name for name in profiles if profiles[name] != PROFILES.get(name)} == {"own_host", "dovecot"}


def test_a_whole_file_of_the_site_stands_alone(tmp_path: Path) -> None:
    text = (OURS / "generic.toml").read_text().replace("Standard IMAP or POP3 server", "House server")
    profiles = load_profiles(site(tmp_path, house=text))
    assert profiles["house"].names["en"] == "House server"


@pytest.mark.parametrize("fact", FACTS)
def test_a_whole_file_that_leaves_a_fact_out_is_refused(tmp_path: Path, fact: str) -> None:
    text = NAMES + "".join(f'{name} = {{ confidence = "unknown" }}\n' for name in FACTS if name != fact)
    said = faults(tmp_path, lacking=text)
    assert len(said) == 1
    assert f"lacking.toml: {fact} is missing" in said[0]


def test_a_misspelt_key_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    said = faults(
        tmp_path, a=NAMES + DOVECOT + 'max_conections = { value = 3, confidence = "high" }\n'
    )  # codespell:ignore
    assert said == [f"{tmp_path}/a.toml: max_conections: unknown key; did you mean max_connections?"]
    text = (OURS / "generic.toml").read_text().replace("smtp_saves_sent", "smtp_save_sent")
    whole = faults(tmp_path, a=DOVECOT, b=text)
    assert any("b.toml: smtp_save_sent: unknown key; did you mean smtp_saves_sent?" in one for one in whole)
    assert any("smtp_saves_sent is missing (is smtp_save_sent meant to be it?)" in one for one in whole)


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("send_id = 'both'", "send_id: write { value = ..., confidence = "),
        ("send_id = { value = 'both' }", "send_id.confidence: is missing: every fact says how sure it is"),
        ("send_id = { value = 'both', confidence = 'hig' }", "'hig' is none; did you mean high?"),
        ("send_id = { value = 'both', confidence = 'unknown' }", "send_id has a value though it is unknown"),
        ("send_id = { confidence = 'high' }", "send_id has no value"),
        (
            "send_id = { valu = 'both', confidence = 'high' }",
            "send_id.valu: unknown key; did you mean value?",
        ),
        ("send_id = { value = 'sometimes', confidence = 'high' }", "write one of never, before, after, both"),
        ("max_connections = { value = 0, confidence = 'high' }", "max_connections: write a number from 1"),
        ("visibility_window_days = { value = -1, confidence = 'high' }", "visibility_window_days"),
        ("skip_mailboxes = { value = 'x', confidence = 'high' }", "skip_mailboxes: write a list"),
        ("login_literals = { value = 1, confidence = 'high' }", "login_literals: write true or false"),
        ("auth_order = { value = [], confidence = 'high' }", "auth_order"),
        ('keepalive_command = { value = "A\\nB", confidence = "high" }', "a command is one line"),
        ("special_mailboxes = { value = { spam = ['x'] }, confidence = 'high' }", "roles are"),
        ("mx_patterns = { value = ['('], confidence = 'high' }", "'(' is no pattern"),
        ("spf_includes = { value = ['*.X.com'], confidence = 'high' }", "host names in small letters"),
        ("imap_hosts = { value = ['gopher://x'], confidence = 'high' }", "imap_hosts: 'gopher://x'"),
        ("smtp_hosts = { value = ['x'], confidence = 'high' }", "smtp_hosts: 'x': write host:port"),
        ("login_forms = { value = ['user'], confidence = 'high' }", "login_forms: write full, local"),
        ("text_encoding = { value = 'big5', confidence = 'high' }", "text_encoding: write one of gbk, utf-8"),
        ("copy_hours = { value = 'night', confidence = 'high' }", "copy_hours: 'night' is no span"),
        ("names = { en = 'X' }", "names: write a name for each of en and zh"),
        (
            "[[error_rules]]\nid = 'x'\npattern = 'x'\ncause = 'bad luck'\nconfidence = 'high'",
            "bad luck is no cause",
        ),
        ("[[error_rules]]\nid = 'x'\npattern = 'x'\ncause = 'unknown'", "each one has cause, confidence, id"),
        (
            "[[error_rules]]\nid = 'x'\npattern = '('\ncause = 'unknown'\nconfidence = 'high'",
            "is no pattern",
        ),
        ("[[checklist]]\nid = 'mine'\nconfidence = 'high'", "each one has confidence, en, id, zh"),
        ("[[checklist]]\nid = 'outlook'\nconfidence = 'unknown'", "what is unknown is left out of a list"),
        ("[[checklist]]\nid = 'outlook'\nconfidence = 'low'\n" * 2, "each step has an id of its own"),
    ],
)
def test_a_wrong_value_is_refused_with_file_and_key(tmp_path: Path, stated: str, told: str) -> None:
    said = faults(tmp_path, a=DOVECOT + stated + "\n")
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path}/a.toml: ")
    assert told in said[0]


def test_all_faults_of_all_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "Not-An-Id.toml").write_text(DOVECOT)
    told = "\n".join(
        faults(tmp_path, a=DOVECOT + "surprise = 1\nother = 2\n", b='based_on = "dovcot"', c="[[")
    )
    for words in ("a.toml: surprise", "a.toml: other", "c.toml: not TOML", "Not-An-Id.toml"):
        assert words in told
    assert "b.toml: based_on: no profile 'dovcot'; did you mean dovecot?" in told


def test_a_file_that_is_not_utf_8_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadProfile):
        load_profiles(str(tmp_path))
