"""Each failure that a setting at the old provider mends leads to that provider's own words for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailferry.model.causes import Cause
from mailferry.providers.loader import load_profiles
from mailferry.providers.remedies import REMEDIES, no_passwords, remedies

PROFILES = load_profiles()


def test_each_step_that_a_remedy_names_stands_in_a_profile() -> None:
    known = {step.step_id for profile in PROFILES.values() for step in profile.checklist}
    assert {step for steps in REMEDIES.values() for step in steps} <= known


@pytest.mark.parametrize(
    ("provider", "cause", "menu"),
    [
        ("netease_qiye", Cause.APP_PASSWORD_REQUIRED, "客户端授权码"),
        ("netease_qiye", Cause.INCOMPLETE, "设置 > 客户端设置 > IMAP 协议"),
        ("netease_qiye", Cause.MFA_REQUIRED, "强制开启二次登录验证"),
        ("tencent_exmail", Cause.PROTOCOL_DISABLED, "管理后台 协作 > 安全管理 > 客户端访问限制"),
        ("tencent_exmail", Cause.APP_PASSWORD_REQUIRED, "关闭安全登录"),
        ("tencent_exmail", Cause.DOMAIN_REMOVED, "腾讯客服"),
        ("aliyun_qiye", Cause.AMBIGUOUS_REFUSAL, "允许使用第三方客户端"),
        ("aliyun_qiye", Cause.ACCOUNT_LOCKED, "1 小时后自动解锁"),
        ("net263", Cause.IP_BLOCKED, "信任登录地"),
        ("gmail", Cause.BAD_CREDENTIALS, "应用专用密码"),
        ("m365", Cause.OAUTH_REQUIRED, "OAuth"),
    ],
)
def test_the_providers_own_menu_stands_beside_the_cause(provider: str, cause: Cause, menu: str) -> None:
    assert menu in " ".join(step.zh for step in remedies(cause, PROFILES[provider]))


@pytest.mark.parametrize("cause", [Cause.SERVER_DOWN, Cause.TARGET_DOWN, Cause.INTERNAL])
def test_what_no_setting_mends_has_no_steps(cause: Cause) -> None:
    assert not any(remedies(cause, profile) for profile in PROFILES.values())


def test_what_no_password_opens_is_explained_in_both_languages_and_nothing_else_is() -> None:
    explained = {name: no_passwords(profile) for name, profile in PROFILES.items()}
    words = explained.pop("m365")
    assert words is not None
    assert "own export" in words.en
    assert "自带的导出" in words.zh
    assert set(explained.values()) == {None}
    bare = replace(PROFILES["generic"], password_login=False)
    assert "OAuth" in str(no_passwords(bare)), "also where a profile of the site gives no step of its own"


def test_steps_come_in_the_order_of_the_checklist() -> None:
    steps = [step.step_id for step in remedies(Cause.AMBIGUOUS_REFUSAL, PROFILES["tencent_exmail"])]
    assert steps == ["service_scope", "imap_on", "secure_login"]
