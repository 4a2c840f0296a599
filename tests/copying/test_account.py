from __future__ import annotations

import pytest

from tests.copying.rig import OLD, Rig
from tests.kit import oracle

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.deadline(60)]


async def test_smoke(rig: Rig) -> None:
    for number in range(5):
        rig.source.save(OLD, b"Subject: %d\r\n\r\nbody\r\n" % number)
    result = await rig.run()
    print(result)
    assert result.clean
    assert oracle.read(rig.source, OLD).messages == oracle.read(rig.target, OLD).messages
