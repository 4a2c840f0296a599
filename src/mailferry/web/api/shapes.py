"""What the API's answers look like, for its own description; the roster makes them, a test holds both together."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mailferry.model.account import Phase, State, Trigger
from mailferry.model.causes import Actor, Cause

Moment = str | None
"""ISO 8601 in UTC to the second, or null."""


class Shape(BaseModel):
    """An answer; later versions may add names to it."""

    model_config = ConfigDict(extra="allow")


class Messages(Shape):
    """Counts of messages."""

    total: int
    copied: int
    remaining: int
    skipped: int


class Octets(Shape):
    """Counts of octets; the total is known when each mailbox was listed."""

    total: int
    copied: int


class InBothLanguages(Shape):
    """A sentence in English and in simplified Chinese."""

    en: str
    zh: str


class AccountSummary(Shape):
    """An account as lists show it."""

    address: str
    domain: str
    state: State
    phase: Phase
    paused: bool
    trigger: Trigger | None
    started_at: Moment
    finished_at: Moment
    messages: Messages
    bytes: Octets
    percent: float
    eta_seconds: int | None
    cause: Cause | None
    who_must_act: Actor | None
    next_retry_at: Moment
    active_at: Moment


class LastRun(Shape):
    """What became of the last run, and what is to be done."""

    result: str | None
    cause: Cause | None
    cause_text: str | None = Field(description="The server's own words.")
    who_must_act: Actor | None
    advice: InBothLanguages | None
    ended_at: Moment
    next_retry_at: Moment


class PasswordFacts(Shape):
    """When things happened to the password; never the password, nor anything made from it."""

    verified_at: Moment
    pushed_at: Moment
    proved_at: Moment
    target_wins: bool
    imported: bool


class Bypass(Shape):
    """Changes at the old host that no session of ours made."""

    changes_seen: int
    last_at: Moment


class Remark(Shape):
    """What the copy met that nobody can mend, or that somebody should know."""

    kind: str
    subject: str
    number: int | None
    detail: str | None
    since: Moment


class Account(Shape):
    """Everything about one account."""

    address: str
    domain: str
    source_login: str | None
    state: State
    phase: Phase
    epoch: int
    paused: bool
    provider: str
    trigger: Trigger | None
    first_trigger_at: Moment
    started_at: Moment
    finished_at: Moment
    window_ends_at: Moment
    messages: Messages
    bytes: Octets
    percent: float
    eta_seconds: int | None
    completeness: str | None
    remarks: list[Remark]
    approved_at: Moment
    last_run: LastRun
    late_mail_at: Moment
    open_sessions: int
    password: PasswordFacts
    bypass: Bypass


class AccountList(Shape):
    """One page of accounts."""

    accounts: list[AccountSummary]
    next: str | None = Field(description="The cursor of the next page; null at the end.")
    matching: int = Field(description="How many accounts fit in all.")


class HistoryRow(Shape):
    """One change of phase."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    at: Moment
    event: str
    from_: Phase = Field(alias="from")
    to: Phase
    cause: Cause | None
    detail: str | None
    who: str | None


class History(Shape):
    """The changes of phase of an account."""

    changes: list[HistoryRow] = Field(description="Newest first.")


class SkippedMessage(Shape):
    """One message that lies at the source only."""

    id: int
    mailbox: str
    uid: int
    size: int | None
    reason: str
    detail: str | None
    tries: int
    at: Moment


class SkippedList(Shape):
    """One page of skipped messages."""

    skipped: list[SkippedMessage]
    next: str | None


class SourceCheck(Shape):
    """Whether the old host refuses a made-up password."""

    protocol: str
    at: Moment
    refuses_made_up_password: bool
    accepts_variants: list[str] | None


class Domain(Shape):
    """A domain with its window and counts."""

    name: str
    source: str
    source_pop3: str | None
    provider: str
    target: str | None
    target_pop3: str | None
    window_days: int
    login_form: str
    switch: Literal["when-copied", "at-once"]
    language: Literal["en", "zh", "both"]
    accept_plaintext: bool
    push_from_plaintext: bool
    uses_codes: bool
    push_codes: bool
    only_listed: bool
    notices: str
    paused: bool
    added_at: Moment
    window_opened_at: Moment
    window_ends_at: Moment
    window_open: bool
    accounts: dict[State, int]
    never_verified: int = Field(description="Accounts of which the old host has taken no password yet.")
    switchable: int = Field(description="Accounts at the old host whose password the new host holds.")
    source_refuses_all: int = Field(
        description="While the old host refuses the whole domain: of how many accounts it refuses a password "
        "that it took before; else 0."
    )
    blocked_since: Moment
    source_checks: list[SourceCheck]


class DomainList(Shape):
    """All domains that the token is for."""

    domains: list[Domain] = Field(description="By name.")


class Removed(Shape):
    """What went with a domain."""

    accounts: int = Field(description="How many accounts went with the domain.")


class LeftBehind(Shape):
    """An account that could not be switched."""

    address: str
    why: str


class Switched(Shape):
    """What switching a domain did in the time that a request has."""

    moved: list[str]
    left: list[LeftBehind]
    next: str | None = Field(description="The cursor to go on with; null when all accounts were looked at.")


class AppliedDomain(Shape):
    """What was done with one domain."""

    name: str
    what: Literal["added", "changed", "unchanged"]
    keys: list[str] = Field(description="What was changed.")


class AppliedDomains(Shape):
    """What was done, in the order of the request."""

    domains: list[AppliedDomain]


class ChecklistStep(InBothLanguages):
    """Something to do before the move, in the provider's own words."""

    id: str


class DetectionReason(Shape):
    """One thing that was seen, and the profiles that it fits."""

    evidence: str
    seen: str
    profiles: list[str]
    confidence: str
    against: bool


class Detected(Shape):
    """Which system the old host is, and why."""

    domain: str
    provider: str
    decided: bool
    candidates: list[str]
    contradicted: bool
    movable_by_password: bool
    checklist: list[ChecklistStep]
    reasons: list[DetectionReason]
    silent: dict[str, str] = Field(description="What could not be found out, and why.")


class TestLine(Shape):
    """One thing that was looked at; `sign` is ok, note, fault or you (only people can look)."""

    sign: str
    what: str
    found: str
    fix: InBothLanguages
    what_zh: str = Field(description="`what` in simplified Chinese.")
    found_zh: str = Field(description="`found` in simplified Chinese.")


class MappedMailbox(Shape):
    """One mailbox of the account and where it goes; without a target it is left out."""

    source: str
    target: str | None
    role: str | None
    why: str


class Tested(Shape):
    """What a connection test found."""

    well: bool
    lines: list[TestLine]
    mailboxes: list[MappedMailbox]


class Overview(Shape):
    """The whole move, or one domain's, at a glance."""

    domain: str | None
    at: Moment
    accounts: dict[State, int]
    causes: dict[Cause, int]
    messages: Messages
    bytes: Octets
    messages_per_second: float
    eta_seconds: int | None
    queue: int


class Sample(Shape):
    """What happened in one step of time."""

    at: Moment
    minutes: int
    messages: int
    bytes: int
    late: int
    skipped: int
    logins: int


class Samples(Shape):
    """The move over time, oldest first."""

    samples: list[Sample]


class AuditRow(Shape):
    """One thing that somebody changed."""

    id: int
    at: Moment
    who: str
    what: str
    subject: str
    detail: str | None


class AuditList(Shape):
    """One page of the audit log."""

    rows: list[AuditRow] = Field(description="Newest first.")
    next: str | None


class Process(Shape):
    """One process of the service."""

    id: int
    role: str
    host: str
    pid: int
    started_at: Moment
    renewed_at: Moment
    silent: bool


class Processes(Shape):
    """Our processes on all machines."""

    processes: list[Process]


class RowProblem(Shape):
    """What is wrong in which line of a file."""

    line: int
    column: str
    message: str


class ImportReport(Shape):
    """What an import did, or would do; with faults nothing was done."""

    rows: int
    added: int
    passwords: int
    left_alone: list[str]
    faults: list[RowProblem]
    encoding: str
    dry_run: bool


class LoginVerdict(Shape):
    """What the servers said to a user's password."""

    verdict: Literal["accepted", "refused", "unavailable"]
    address: str | None = Field(description="The account's one spelling, when it was accepted.")
    side: Literal["source", "target"] | None = Field(description="Who accepted the password.")
    state: State | None
    cause: Cause | None
    advice: InBothLanguages | None = Field(description="For the user.")
    text: str = Field(description="A sentence for the user in the domain's language; empty when accepted.")
