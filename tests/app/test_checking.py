"""`mailferry check` on our certificates: one line for each, with the names that it is for."""

from __future__ import annotations

from pathlib import Path

from mailferry.app.checking import Line, Sign, check
from mailferry.config.loader import load
from tests.kit.tls_files import Issued, TlsFiles


async def lines(folder: Path, default: Issued, *others: Issued) -> list[Line]:
    """Return what is said of certificates; the rest of the check needs a state directory, which is not there."""
    path = folder / "mailferry.toml"
    path.write_text(
        f'[service]\nstate_dir = "{folder}/nowhere"\n[target]\nimap = "imaps://new.test"\n'
        f'[tls]\ncertificate = "{default.certificate}"\nkey = "{default.key}"\n'
        + "".join(f'[[tls.also]]\ncertificate = "{one.certificate}"\nkey = "{one.key}"\n' for one in others)
    )
    settings = load(path, {})
    found = [line async for line in check(settings, str(path), None)]
    return [line for line in found if "certificate" in line.what or line.what.startswith("tls.")]


async def test_each_certificate_has_a_line_with_its_names(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path / "tls")
    default = files.issue("mail.new.test")
    late, over = files.issue("mail.late.test", expired=True), files.issue("*.other.test", "mail.other.test")
    first, second, third = await lines(tmp_path, default, late, over)
    assert (first.sign, first.what) == (Sign.WELL, "certificate")
    assert f"{default.certificate} for mail.new.test: valid for" in first.found
    assert (second.sign, second.what) == (Sign.FAULT, "tls.also[1]")
    assert second.found == f"{late.certificate} for mail.late.test: expired"
    assert (third.sign, third.what) == (Sign.WELL, "tls.also[2]")
    assert "for *.other.test, mail.other.test: valid for" in third.found


async def test_a_further_certificate_whose_key_is_another_s_is_named_by_its_table(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path / "tls")
    default, other = files.issue("mail.new.test"), files.issue("mail.other.test")
    other.key.write_bytes(default.key.read_bytes())
    faults = [line for line in await lines(tmp_path, default, other) if line.sign is Sign.FAULT]
    assert [line.what for line in faults] == ["tls.also[1].key"]
    assert "is not the key of" in faults[0].found


async def test_one_certificate_alone_is_shown_without_its_names(tmp_path: Path) -> None:
    (line,) = await lines(tmp_path, TlsFiles(tmp_path / "tls").issue("mail.new.test"))
    assert "valid for" in line.found
    assert "mail.new.test:" not in line.found
