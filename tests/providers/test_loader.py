from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.model.profile import SendId
from mailferry.providers.loader import BadProfile, load_profiles

NAMES = 'names = { en = "X", zh = "某" }\n'


def site(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return str(folder)


def test_our_own_profiles_are_there() -> None:
    profiles = load_profiles()
    assert {"generic", "dovecot", "netease_qiye", "tencent_exmail"} <= set(profiles)
    assert all(profile.profile_id == name for name, profile in profiles.items())


def test_what_netease_and_tencent_need_is_written_down() -> None:
    profiles = load_profiles()
    assert profiles["netease_qiye"].send_id is SendId.BOTH
    assert profiles["netease_qiye"].special_mailboxes["sent"] == ("已发送",)
    assert not profiles["tencent_exmail"].login_literals
    assert profiles["tencent_exmail"].max_command_octets <= 2048
    assert profiles["tencent_exmail"].strip_parents == ("其他文件夹",)


def test_nothing_is_skipped_at_an_unknown_server() -> None:
    assert load_profiles()["generic"].skip_mailboxes == ()


def test_a_site_adds_a_profile_and_corrects_one_of_ours(tmp_path: Path) -> None:
    rule = '[[error_rules]]\nid = "own"\npattern = "gone fishing"\ncause = "server_down"\nambiguous = true\n'
    extra = site(
        tmp_path, own_host=NAMES + "max_connections = 4\n" + rule, dovecot=NAMES + 'send_id = "never"\n'
    )
    profiles = load_profiles(extra)
    assert profiles["own_host"].max_connections == 4
    assert profiles["own_host"].error_rules[0].ambiguous
    assert profiles["dovecot"].send_id is SendId.NEVER
    assert profiles["dovecot"].max_connections is None


def test_all_faults_of_all_files_are_told(tmp_path: Path) -> None:
    extra = site(
        tmp_path,
        a=NAMES + "send_id = 'sometimes'\nmax_connections = 0\nskip_mailboxes = 'x'\nlogin_literals = 1\n",
        b="names = { en = 'X' }\nsurprise = 1\nauth_order = []\nkeepalive_command = \"A\\nB\"\n",
        c="[[",
        d=NAMES + "[special_mailboxes]\nspam = ['x']\n",
        e=NAMES + "[[error_rules]]\nid = 'x'\npattern = '('\ncause = 'unknown'\n",
        f=NAMES + "[[error_rules]]\nid = 'x'\npattern = 'x'\ncause = 'bad luck'\n",
    )
    (tmp_path / "Not-An-Id.toml").write_text(NAMES)
    with pytest.raises(BadProfile) as caught:
        load_profiles(extra)
    told = "\n".join(caught.value.faults)
    for words in (
        "a.toml: send_id",
        "a.toml: max_connections",
        "a.toml: skip_mailboxes",
        "a.toml: login_literals",
        "b.toml: names",
        "b.toml: surprise: unknown key",
        "b.toml: auth_order",
        "b.toml: keepalive_command",
        "c.toml: not TOML",
        "d.toml: special_mailboxes",
        "e.toml: error_rules",
        "f.toml: error_rules: bad luck",
        "Not-An-Id.toml",
    ):
        assert words in told


def test_a_file_that_is_not_utf_8_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadProfile):
        load_profiles(str(tmp_path))
