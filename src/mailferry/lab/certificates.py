"""Certificates for a rehearsal: an authority of its own and one certificate for localhost."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OTHER_NAME = "*.qiye.example"
"""What the certificate of a provider is for that serves customers under names of their own."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files: the authority's certificate, a host's certificate, its key, and one for `OTHER_NAME`."""

    authority: Path
    certificate: Path
    key: Path
    other_name: Path
    """Of the same authority and key."""


def make_certificates(
    folder: Path, *, hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
) -> CertificateFiles:
    """Write a new authority and a certificate for `hosts` into `folder`, valid for 30 days."""
    folder.mkdir(parents=True, exist_ok=True)
    files = CertificateFiles(
        *(folder / f"{name}.pem" for name in ("authority", "certificate", "key", "other_name"))
    )
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailferry rehearsal authority")])
    authority = (
        _draft(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())

    def issued(names: tuple[str, ...]) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        return (
            _draft(subject, authority_name, key.public_key())
            .add_extension(x509.SubjectAlternativeName([_name(host) for host in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )

    pem = serialization.Encoding.PEM
    files.authority.write_bytes(authority.public_bytes(pem))
    files.certificate.write_bytes(issued(hosts).public_bytes(pem))
    files.other_name.write_bytes(issued((OTHER_NAME,)).public_bytes(pem))
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _draft(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
