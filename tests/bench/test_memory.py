"""What a copy needs above the idle copier: as much for many messages, large ones and one huge one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.completeness import check_counts
from bench.data_sets import DataSet, lay
from bench.mailferry_copy import MailferryCopy
from bench.peer import Job
from bench.servers import FULL, Servers

MOST_ABOVE_IDLE = 64 * 2**20


@pytest.mark.slow
@pytest.mark.peer("dovecot")
@pytest.mark.parametrize(
    "mail",
    [
        DataSet("many", 1_500, 3, 4_000, 20_000),
        DataSet("large", 60, 2, 2_000_000, 2_000_000),
        DataSet("huge", 1, 1, 200_000_000, 200_000_000),
    ],
    ids=lambda mail: mail.name,
)
def test_memory_stays_flat_whatever_the_size_of_messages(mail: DataSet, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "job").mkdir()
    servers = Servers(tmp_path)
    try:
        there, here = "memory@bench.test", "copy@bench.test"
        lay(mail, servers.source, there)
        target = servers.target(FULL)
        copier = MailferryCopy(Job(servers.source, there, target, here, "imap", tmp_path / "job"))
        try:
            cost = copier.run()
        finally:
            copier.finish()
        check_counts("mailferry", servers.source.home(there), target.home(here))
    finally:
        servers.stop()
    growth = cost.peak - copier.start_up.peak
    assert growth < MOST_ABOVE_IDLE, f"{growth / 2**20:.0f} MiB above idle"
