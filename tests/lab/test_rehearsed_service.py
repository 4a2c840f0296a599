from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.config.loader import load
from mailferry.lab.narration import ClaimBroken, Narrator
from mailferry.lab.rehearsed_service import DOORS, RehearsedService, TargetAccess
from mailferry.lab.service_process import ServiceBroke


@pytest.fixture
def service(tmp_path: Path) -> RehearsedService:
    target = TargetAccess(
        "imap://127.0.0.1:10143?tls=none", "pop3://127.0.0.1:10110?tls=none", "mailferry", "m aster"
    )
    folder = tmp_path / 'with "quotes" 和汉字'
    folder.mkdir()
    return RehearsedService(folder, target, tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "users")


def test_the_generated_configuration_is_one_that_the_product_reads(service: RehearsedService) -> None:
    settings = load(service.config)
    assert len(settings.listen) == len(DOORS) == len(set(service.ports.values()))
    assert settings.service.state_dir == service.folder / "state"
    assert settings.target.master_password is not None
    assert settings.target.master_password.reveal() == b"m aster"
    assert "m aster" not in repr(service)


def test_a_command_that_fails_is_told_with_its_own_words(service: RehearsedService) -> None:
    service.config.write_text("nonsense = 1\n")
    with pytest.raises(ServiceBroke, match=r"(?s)db status: exit status 2: .*nonsense"):
        service.run("db", "status")


def test_a_service_that_cannot_start_is_told_with_the_end_of_its_log(service: RehearsedService) -> None:
    with pytest.raises(ServiceBroke, match=r"cert\.pem"):
        service.start()
    service.stop()


def test_a_claim_that_does_not_hold_ends_the_story() -> None:
    said: list[str] = []
    narrator = Narrator(said.append)
    narrator.act("Once upon a time")
    narrator.claim("all is well", holds=True)
    with pytest.raises(ClaimBroken, match="nothing is lost"):
        narrator.claim("nothing is lost", holds=False, why=[f"lost {n}" for n in range(12)])
    assert narrator.held == 1
    assert said[1:4] == ["1. Once upon a time", "   [ok] all is well", "   [BROKEN] nothing is lost"]
    assert said[4] == "        lost 0"
    assert said[-1] == "        and 2 more"
