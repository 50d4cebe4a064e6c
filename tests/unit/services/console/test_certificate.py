"""The certificate of the console's pages: when it expires is in the health report."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from services.console.shell import expiry_of

FROM = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(days: int) -> bytes:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "console.example")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(FROM).not_valid_after(FROM + timedelta(days=days))
    return built.sign(key, None).public_bytes(serialization.Encoding.PEM)


def test_the_servers_own_certificate_says_when_it_expires(tmp_path: Path):
    file = tmp_path / "console.pem"
    file.write_bytes(certificate(90) + certificate(3_650))
    assert expiry_of(file) == {"certificate_expires_s": (FROM + timedelta(days=90)).timestamp()}


def test_without_a_certificate_nothing_is_said():
    assert expiry_of(None) == {}
