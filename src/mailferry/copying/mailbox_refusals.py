"""Source mailboxes that are listed and cannot be opened: asked again, then done without, and said so.

One refusal is a fault that the next pass may not meet. A mailbox that was refused in several passes over
some time is left out by name, so that it does not hold an account for ever; it is asked for in every
pass all the same. INBOX is never done without, nor is a mailbox of which the source tells that it holds
messages: then the account waits for its administrator.
"""

from __future__ import annotations

from mailferry.copying.desk import Run
from mailferry.copying.preparing import MailboxJob
from mailferry.copying.results import MailboxFailure
from mailferry.copying.sides import Pair
from mailferry.model.causes import Cause, Refused
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.store.remarks import RemarkKind

PASSES = 3
SECONDS = 600.0


class CannotOpen(Refused):
    """The source lists the mailbox and refuses to open it."""

    def __init__(self, refusal: Refused) -> None:
        super().__init__(refusal.cause, refusal.text, retry_after=refusal.retry_after)


def opened(run: Run, job: MailboxJob) -> None:
    """The source opened the mailbox: whatever was said of it before is over."""
    run.remarks.over(RemarkKind.REFUSED, job.source_name)


async def refused(run: Run, pair: Pair, job: MailboxJob, refusal: Refused) -> None:
    """The source refused twice in this pass: note it, and decide whether the pass can do without."""
    before = run.remarks.known(RemarkKind.REFUSED, job.source_name)
    run.remarks.note(RemarkKind.REFUSED, job.source_name, number=1, detail=refusal.text, add=True)
    often = before is not None and before.number + 1 >= PASSES and before.age >= SECONDS
    if not often or job.source_name.upper() == INBOX:
        run.result.failures.append(MailboxFailure(job.source_name, refusal.cause, refusal.text))
        return
    told = (await pair.source.status_all([job.source_name])).get(job.source_name)
    run.left_out(job.source_name, refusal.text, None if told is None else told.exists)


def nothing_opens(run: Run, jobs: int) -> None:
    """Where every mailbox is refused it is no matter of mailboxes: fail as a whole."""
    if jobs and len(run.result.left_out) == jobs:
        for name, text in run.result.left_out.items():
            run.result.failures.append(MailboxFailure(name, Cause.PROTOCOL_ERROR, text))
        run.result.left_out.clear()
