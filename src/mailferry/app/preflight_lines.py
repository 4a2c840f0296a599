"""What `domain test` says of what it saw: counts that differ, the estimate, the risk, the profile's checklist."""

from __future__ import annotations

from collections.abc import Mapping

from mailferry.app.checking import Line, Sign
from mailferry.app.preflight_look import Look
from mailferry.model.access import Protocol
from mailferry.model.profile import AfterDnsChange, Profile
from mailferry.plan.checklist import Observed, Seen, judged
from mailferry.plan.copy_estimate import estimate, octets_each
from mailferry.plan.mailbox_mapping import ALL_MAIL, plan_mailboxes, shown_name
from mailferry.plan.pace import PaceLimits
from mailferry.wire.server_text import visible

_SIGNS = {Seen.WELL: Sign.WELL, Seen.WRONG: Sign.NOTE, Seen.YOURS: Sign.YOURS}
_WITHHELD = "the provider withholds it: call its support; the copy brings the rest and goes on by itself"
_RISK = (
    "import passwords and let the first copy be made before the DNS changes: "
    "nothing is set or switched by that, and nothing is copied twice afterwards"
)
_RISK_ZH = "请在修改解析之前导入密码并完成首次复制：此时不会设置密码也不会切换，之后也不会重复复制。"

_ALL_MAIL = (
    "archived mail lies nowhere else, so it is not left out: have room for it at the new host; where nobody "
    "archives, skip_mailboxes of a profile of your own leaves it out (docs/providers.md)"
)
_ALL_MAIL_ZH = "归档的邮件只在其中，因此不会略过：请在新服务器预留空间；如确定无人归档，可用自定义配置的 skip_mailboxes 略过。"


def read_messages(what: str, look: Look) -> list[Line]:
    """Say whether the messages that were read came whole."""
    read = look.sample.read
    if look.bodyless:
        found = f"{look.bodyless} of {read} messages that were read came without their bodies"
        return [Line(Sign.FAULT, what, found, _WITHHELD)]
    if look.placeholders:
        found = f"in place of {look.placeholders} of {read} messages came texts of the server's own"
        return [Line(Sign.NOTE, what, found, _WITHHELD)]
    if look.unreadable and not read:
        return [Line(Sign.FAULT, what, "messages are listed, and none could be read", _WITHHELD)]
    if not read:
        return [Line(Sign.NOTE, what, "there is none to read", "test with an account that holds old mail")]
    octets, seconds = look.sample.read_octets, max(look.sample.seconds, 0.001)
    found = f"{read} read whole, {octets:,} bytes in {seconds:.2f} s"
    if look.unreadable:
        return [Line(Sign.NOTE, what, f"{found}; {look.unreadable} could not be read", _WITHHELD)]
    return [Line(Sign.WELL, what, found)]


def compared(looks: Mapping[Protocol, Look], observed: Observed) -> list[Line]:
    """Say whether both protocols show the same INBOX; nothing where only one was looked at."""
    if len(looks) < 2:
        return []
    imap, pop3 = looks[Protocol.IMAP].inbox, looks[Protocol.POP3].inbox
    if not observed.hidden:
        return [Line(Sign.WELL, "completeness", f"IMAP and POP3 both show {imap} messages in INBOX")]
    fix = "the provider may hide older mail from one of them: look for 'collect all mail' in its settings"
    zh = "服务商可能对其中一种协议隐藏较早的邮件：请在其设置中选择“收取全部的邮件”。"
    return [
        Line(Sign.NOTE, "completeness", f"IMAP shows {imap} messages in INBOX, POP3 {pop3}", fix, zh),
    ]


def estimated(looks: Mapping[Protocol, Look], profile: Profile, limits: PaceLimits) -> list[Line]:
    """Say how much this account's copy is and how long it takes; nothing where nobody logged in."""
    look = looks.get(Protocol.IMAP) or looks.get(Protocol.POP3)
    if look is None:
        return []
    found = estimate(look.sample, limits, exact_sizes=profile.exact_sizes)
    amount = f"about {found.messages:,} messages, {_size(found.octets)}"
    if found.hours is None:
        return [Line(Sign.NOTE, "estimate", f"{amount}; the speed is not known", "no message could be read")]
    why = f", because of {found.limit}" if found.limit else " at the speed that was measured"
    return [Line(Sign.WELL, "estimate", f"{amount}: {_hours(found.hours)} for this account{why}")]


def copied_twice(look: Look | None, profile: Profile) -> list[Line]:
    """Say how much of the account stands in a mailbox of all mail and, mostly, in others as well (Gmail's labels)."""
    if look is None:
        return []
    plan = plan_mailboxes(
        look.listed, (), profile=profile, source_namespace=look.space, target_namespace=look.space
    )
    lines = []
    for mailbox in (pair.source for pair in plan.pairs if ALL_MAIL in pair.source.attributes):
        count = look.counts.get(mailbox.name, 0)
        each = octets_each(look.sample, exact_sizes=profile.exact_sizes)
        amount = f"{count:,} messages, about {_size(round(count * each))}"
        found = f"{visible(shown_name(mailbox.name))}: {amount}, copied as one mailbox more beside the others"
        lines.append(Line(Sign.NOTE, "all mail", found, _ALL_MAIL, _ALL_MAIL_ZH))
    return lines


def _size(octets: int) -> str:
    return f"{octets / 1e9:.1f} GB" if octets >= 1e9 else f"{octets / 1e6:.1f} MB"


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return "less than a minute"
    return f"{hours * 60:.0f} minutes" if hours < 2 else f"{hours:.1f} hours"


def after_dns_change(profile: Profile) -> Line:
    """Name the risk that the source lets nobody in once the domain's DNS names another service."""
    what = "after the DNS change"
    if profile.after_dns_change is AfterDnsChange.OPEN:
        return Line(Sign.WELL, what, "the old host is known to let users in as before")
    if profile.after_dns_change is AfterDnsChange.RESTRICTED:
        found = "pulling may stop after the DNS change: this provider limits logins then"
    else:
        found = "pulling may stop after the DNS change: nobody knows what this provider does then"
    return Line(Sign.YOURS, what, found, _RISK, _RISK_ZH)


def checklist(profile: Profile, observed: Observed) -> list[Line]:
    """Work through the provider's own steps: what was seen of each, and what only people can see."""
    lines = []
    for step in profile.checklist:
        seen = judged(step.step_id, observed)
        lines.append(Line(_SIGNS[seen], f"checklist {step.step_id}", seen.value, step.en, step.zh))
    return lines
