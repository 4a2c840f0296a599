"""What administrators read when somebody must act, in English and simplified Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailferry.model.causes import CAUSES, Actor, Cause
from mailferry.plan.notices import Alert
from mailferry.providers.sentences import advice

_WHO = {
    Actor.NOBODY: ("nobody", "无需处理"),
    Actor.USER: ("the user", "用户"),
    Actor.ADMINISTRATOR: ("you, the administrator", "管理员"),
    Actor.PROVIDER: ("the old provider", "原服务商"),
}


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """What an alert tells of a domain. `accounts` are a few of `count`; `days` is left of a window."""

    domain: str
    cause: Cause | None = None
    count: int = 0
    accounts: Sequence[str] = ()
    days: int | None = None
    window_ends: str | None = None
    states: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class AlertWords:
    """Subject and text in both languages."""

    subject: Mapping[str, str]
    text: Mapping[str, str]


def alert_words(kind: Alert, facts: AlertFacts) -> AlertWords:
    """Return the words of one alert."""
    return _WORDS[kind](facts)


def _must_act(facts: AlertFacts) -> AlertWords:
    assert facts.cause is not None
    advised = advice(facts.cause)
    who_en, who_zh = _WHO[CAUSES[facts.cause].actor]
    named = "".join(f"\r\n  {address}" for address in facts.accounts)
    more = facts.count - len(facts.accounts)
    more_en = f"\r\n  and {more} more" if more > 0 else ""
    more_zh = f"\r\n  以及另外 {more} 个" if more > 0 else ""
    look = f"mailferry account list --domain {facts.domain} --cause {facts.cause.value}"
    return AlertWords(
        {
            "en": f"{facts.domain}: {facts.count} accounts need somebody ({facts.cause.value})",
            "zh": f"{facts.domain}：{facts.count} 个账号需要处理（{facts.cause.value}）",
        },
        {
            "en": f"{advised['en']}\r\nWho must act: {who_en}.\r\nAccounts:{named}{more_en}\r\nAll of them: {look}",
            "zh": f"{advised['zh']}\r\n由谁处理：{who_zh}。\r\n账号：{named}{more_zh}\r\n完整列表：{look}",
        },
    )


def _source_blocked(facts: AlertFacts) -> AlertWords:
    advised = advice(Cause.SOURCE_TAKES_ANY_PASSWORD)
    return AlertWords(
        {
            "en": f"{facts.domain}: the old server takes any password; the domain is held",
            "zh": f"{facts.domain}：原服务器接受任意密码，该域已暂停",
        },
        {
            "en": f"{advised['en']}\r\nTest it again: mailferry domain test {facts.domain}",
            "zh": f"{advised['zh']}\r\n重新测试：mailferry domain test {facts.domain}",
        },
    )


def _refuses_all(facts: AlertFacts) -> AlertWords:
    advised = advice(Cause.SOURCE_REFUSES_DOMAIN)
    return AlertWords(
        {
            "en": f"{facts.domain}: the old server refuses passwords that it took before ({facts.count} accounts)",
            "zh": f"{facts.domain}：原服务器拒绝了此前有效的密码（{facts.count} 个账号）",
        },
        {
            "en": f"{advised['en']}\r\nServe them from the new server: mailferry domain switch {facts.domain}",
            "zh": f"{advised['zh']}\r\n改由新服务器提供服务：mailferry domain switch {facts.domain}",
        },
    )


def _window_ends(facts: AlertFacts) -> AlertWords:
    counts = ", ".join(f"{state} {count}" for state, count in (facts.states or {}).items() if count) or "-"
    return AlertWords(
        {
            "en": f"{facts.domain}: the window ends on {facts.window_ends} ({facts.days} days or less)",
            "zh": f"{facts.domain}：搬家期限将于 {facts.window_ends} 结束（不足 {facts.days} 天）",
        },
        {
            "en": f"After it no move begins, no password follows and no late mail is fetched.\r\nAccounts: {counts}\r\n"
            f"Let it end later: mailferry domain extend {facts.domain} --days 30",
            "zh": f"期限结束后不再开始新的搬家，密码不再同步，迟到的邮件不再收取。\r\n账号：{counts}\r\n"
            f"延长期限：mailferry domain extend {facts.domain} --days 30",
        },
    )


_WORDS = {
    Alert.MUST_ACT: _must_act,
    Alert.SOURCE_BLOCKED: _source_blocked,
    Alert.SOURCE_REFUSES_ALL: _refuses_all,
    Alert.WINDOW_ENDS: _window_ends,
}
