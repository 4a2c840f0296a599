"""Late mail: one add-only run over an account that lives at the target already (design A7)."""

from __future__ import annotations

from mailferry.copying.account import run_pass
from mailferry.copying.desk import CopyDesk
from mailferry.copying.results import Mode, PassRequest, PassResult
from mailferry.observe import metrics
from mailferry.store.leases import Lease


async def sweep(desk: CopyDesk, account_id: int, *, lease: Lease | None = None) -> PassResult:
    """Fetch what still reached the source after the flip; nothing else changes at the target.

    What the target has, whoever brought it there, is not copied again. A failure is in the result: it
    is a warning and never turns a finished account into a failed one.
    """
    request = PassRequest(account_id, Mode.ADD_ONLY, lease=lease, sweep=True)
    result = await run_pass(desk, request)
    metrics.LATE_MESSAGES.add(result.copied)
    return result
