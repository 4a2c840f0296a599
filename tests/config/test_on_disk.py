from __future__ import annotations

from pathlib import Path

from mailferry.config.loader import load
from mailferry.config.on_disk import faults_on_disk


def test_what_is_missing_on_this_machine_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "mailferry.toml"
    path.write_text(
        f'[service]\nstate_dir = "{tmp_path}/state"\nproviders_dir = "{tmp_path}/providers.d"\n'
        f'[tls]\ncertificate = "{tmp_path}/c.pem"\nkey = "{tmp_path}/k.pem"\n'
        '[target]\nimap = "imaps://new.test"\n'
        f'[passwords]\nbackend = "passwd-file"\n[passwords.passwd-file]\npath = "{tmp_path}/users"\n'
    )
    settings = load(path, {})
    faults = faults_on_disk(settings, str(path))
    assert {fault.key for fault in faults} == {
        "service.state_dir",
        "service.providers_dir",
        "tls.certificate",
        "tls.key",
        "passwords.passwd-file.path",
    }
    assert f"install -d -m 0700 {tmp_path}/state" in str(faults[0])
    for folder in ("state", "providers.d"):
        (tmp_path / folder).mkdir()
    for file in ("c.pem", "k.pem", "users"):
        (tmp_path / file).write_text("")
    assert faults_on_disk(settings, str(path)) == []
