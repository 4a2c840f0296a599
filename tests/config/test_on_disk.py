from __future__ import annotations

import re
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from mailferry.config.loader import load
from mailferry.config.on_disk import faults_on_disk
from tests.kit.tls_files import TlsFiles


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
    good = TlsFiles(tmp_path / "tls").issue("mail.new.test")
    for file, octets in (
        ("c.pem", good.certificate.read_bytes()),
        ("k.pem", good.key.read_bytes()),
        ("users", b""),
    ):
        (tmp_path / file).write_bytes(octets)
    assert faults_on_disk(settings, str(path)) == []


def test_a_certificate_that_no_client_could_be_shown_is_a_fault(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path / "tls")
    good, other = files.issue("mail.new.test"), files.issue("mail.new.test")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    locked = tmp_path / "locked.pem"
    key = load_pem_private_key(good.key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    )
    path = tmp_path / "mailferry.toml"
    for certificate, its_key, wanted in (
        (good.certificate, other.key, "tls.key: .* is not the key of "),
        (rubbish, good.key, "tls.certificate: .* cannot be used; write the chain"),
        (good.certificate, rubbish, "tls.certificate: .* cannot be used; write the chain"),
        (good.certificate, locked, "tls.*passphrase"),
    ):
        path.write_text(
            f'[service]\nstate_dir = "{tmp_path}"\n[target]\nimap = "imaps://new.test"\n'
            f'[tls]\ncertificate = "{certificate}"\nkey = "{its_key}"\n'
        )
        (fault,) = faults_on_disk(load(path, {}), str(path))
        assert re.search(wanted, str(fault))
