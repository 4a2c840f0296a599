"""An account as all faces show it: the JSON of `account show --json` and of the API (contract, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from mailferry.model.account import Phase, State
from mailferry.model.causes import CAUSES
from mailferry.plan.mailbox_mapping import shown_name
from mailferry.plan.routing import phase_without_account
from mailferry.providers.sentences import advice
from mailferry.roster.moments import moment
from mailferry.store.accounts import Account, HistoryRow
from mailferry.store.domains import Domain
from mailferry.store.mailboxes import OVER_POP3
from mailferry.store.passwords import PasswordRecord
from mailferry.store.remarks import Remark
from mailferry.store.skipped import SkippedMessage
from mailferry.wire.server_text import visible

_LONGEST_ETA = 365 * 86400.0
_COUNTS = ("id", "epoch", "total", "copied", "skipped", "bytes_total", "bytes_copied", "bypass_changes")
_MARKS = ("paused", "used_pop3", "cutover_wanted")


def summary(account: Account, *, now: float) -> dict[str, Any]:
    """Return what a list of accounts shows of one."""
    return {
        "address": account.address,
        "domain": account.domain,
        "state": account.state.value,
        "phase": account.phase.value,
        "paused": account.paused,
        "trigger": None if account.trigger is None else account.trigger.value,
        "started_at": moment(account.started_at),
        "finished_at": moment(account.finished_at),
        "messages": _messages(account),
        "bytes": _octets(account),
        "percent": percent(account),
        "eta_seconds": eta_seconds(account, now=now),
        "cause": None if account.cause is None else account.cause.value,
        "who_must_act": None if account.cause is None else CAUSES[account.cause].actor.value,
        "next_retry_at": moment(account.next_retry_at),
        "active_at": moment(active_at(account)),
    }


def not_listed(address: str, domain: Domain) -> Account:
    """Return what stands for an address that is not migrating, as its domain moves the listed accounts alone."""
    nothing: dict[str, Any] = dict.fromkeys((field.name for field in fields(Account)), None)
    none_yet = dict.fromkeys(_COUNTS, 0) | dict.fromkeys(_MARKS, False)
    phase = phase_without_account(only_listed=domain.only_listed)
    return Account(**{**nothing, **none_yet, "address": address, "domain": domain.name, "phase": phase})


def whole(
    account: Account,
    domain: Domain,
    password: PasswordRecord,
    *,
    now: float,
    sessions: int = 0,
    remarks: Sequence[Remark] = (),
) -> dict[str, Any]:
    """Return everything about one account; no secret and nothing made from one."""
    return {
        "address": account.address,
        "domain": account.domain,
        "source_login": account.source_login,
        "state": account.state.value,
        "phase": account.phase.value,
        "epoch": account.epoch,
        "paused": account.paused,
        "provider": domain.provider,
        "trigger": None if account.trigger is None else account.trigger.value,
        "first_trigger_at": moment(account.first_trigger_at),
        "started_at": moment(account.started_at),
        "finished_at": moment(account.finished_at),
        "window_ends_at": moment(domain.window_ends_at),
        "messages": _messages(account),
        "bytes": _octets(account),
        "percent": percent(account),
        "eta_seconds": eta_seconds(account, now=now),
        "completeness": account.completeness,
        "remarks": [_remark(one) for one in remarks],
        "approved_at": moment(account.approved_at),
        "last_run": _last_run(account),
        "late_mail_at": moment(account.swept_at),
        "open_sessions": sessions,
        "password": {
            "verified_at": moment(password.verified_at),
            "pushed_at": moment(password.pushed_at),
            "proved_at": moment(password.proved_at),
            "target_wins": password.target_wins,
            "imported": password.sealed_by_import,
        },
        "bypass": {
            "changes_seen": account.bypass_changes,
            "last_at": moment(account.bypass_last_at),
        },
    }


def history_row(row: HistoryRow) -> dict[str, Any]:
    """Return one change of phase."""
    return {
        "at": moment(row.at),
        "event": row.event,
        "from": row.phase_from.value,
        "to": row.phase_to.value,
        "cause": None if row.cause is None else row.cause.value,
        "detail": row.detail,
        "who": row.who,
    }


def percent(account: Account) -> float:
    """Return how much of the copy is done, to one decimal; 100 only when the account is done.

    Counted in bytes once they are known, in messages before.
    """
    if account.state is State.DONE:
        return 100.0
    if account.total <= 0:
        return 0.0
    share = 100.0 * (account.total - account.remaining) / account.total
    if account.bytes_total > 0 and account.remaining > 0:
        share = 100.0 * account.bytes_copied / account.bytes_total
    return min(int(share * 10) / 10, 99.9)


def eta_seconds(account: Account, *, now: float) -> int | None:
    """Return the seconds that what remains takes at the rate so far; None when nothing can be said."""
    if account.phase not in {Phase.PRECOPY, Phase.BACKFILL} or account.started_at is None:
        return None
    if account.total > 0 and account.remaining == 0:
        return 0
    done, left = float(account.copied), float(account.remaining)
    if account.bytes_total > 0 and account.bytes_copied > 0:
        done, left = float(account.bytes_copied), float(max(0, account.bytes_total - account.bytes_copied))
    elapsed = now - account.started_at
    if done <= 0 or left <= 0 or elapsed <= 0:
        return None
    seconds = elapsed * left / done
    return round(seconds) if seconds < _LONGEST_ETA else None


def active_at(account: Account) -> float:
    """Return when something last happened to it: its last run ended, it was finished, begun, or added."""
    moments = (account.last_run_ended_at, account.finished_at, account.started_at)
    return next((at for at in moments if at is not None), account.added_at)


def mailbox_shown(name: bytes) -> str:
    """Return a mailbox's name for people, in one line; what POP3 alone shows has no mailbox."""
    return "(POP3 only)" if name == OVER_POP3 else visible(shown_name(name))


def skipped_row(row: SkippedMessage) -> dict[str, Any]:
    """Return one message that was not copied."""
    return {
        "id": row.id,
        "mailbox": mailbox_shown(row.source_name),
        "uid": row.source_uid,
        "size": row.size,
        "reason": row.reason,
        "detail": row.detail,
        "tries": row.tries,
        "at": moment(row.at),
    }


def _remark(one: Remark) -> dict[str, Any]:
    """Return what the copy met that nobody can mend, or that somebody should know."""
    return {
        "kind": one.kind.value,
        "subject": shown_name(one.subject),
        "number": one.number,
        "detail": one.detail,
        "since": moment(one.first_at),
    }


def _octets(account: Account) -> dict[str, int]:
    """The total is known when each mailbox was listed; until then it is at least what is copied."""
    return {"total": max(account.bytes_total, account.bytes_copied), "copied": account.bytes_copied}


def _messages(account: Account) -> dict[str, int]:
    return {
        "total": account.total,
        "copied": account.copied,
        "remaining": account.remaining,
        "skipped": account.skipped,
    }


def _last_run(account: Account) -> dict[str, Any]:
    cause = account.cause
    return {
        "result": account.last_result,
        "cause": None if cause is None else cause.value,
        "cause_text": account.cause_text,
        "who_must_act": None if cause is None else CAUSES[cause].actor.value,
        "advice": None if cause is None else advice(cause),
        "ended_at": moment(account.last_run_ended_at),
        "next_retry_at": moment(account.next_retry_at),
    }
