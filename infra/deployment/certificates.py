"""Certificates of a system that runs its own servers: an authority nobody else knows, and a certificate per server.

Elliptic-curve keys (P-256), in PEM. Whoever has an authority already gives its certificates to the servers instead.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LASTS = timedelta(days=20 * 365)
SERVER_LASTS = timedelta(days=5 * 365)
#: A certificate with less time left is made anew when the secrets are looked after, which each start does.
RENEWED_BEFORE = timedelta(days=365)
#: Clocks differ a little between machines.
_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate and its private key (PKCS 8), both in PEM."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "Certified(…)"

    @property
    def ends_at(self) -> datetime:
        """When the certificate ends (aware UTC)."""
        return x509.load_pem_x509_certificate(self.certificate.encode()).not_valid_after_utc

    def is_due(self, now: datetime | None = None) -> bool:
        """Return whether it should be made anew."""
        return self.ends_at - (now or datetime.now(UTC)) < RENEWED_BEFORE


def make_authority(name: str = "cash-flow") -> Certified:
    """Make an authority of our own, which signs servers' certificates and nothing else."""
    key = generate_private_key(SECP256R1())
    subject = _name(f"{name} certificate authority")
    builder = _builder(subject, subject, key, AUTHORITY_LASTS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return _pem(builder.sign(key, SHA256()), key)


def certify(authority: Certified, hosts: Iterable[str]) -> Certified:
    """Make a certificate for a server that is reached under these names and addresses; the first is its own."""
    signing = load_pem_private_key(authority.key.encode(), password=None)
    assert isinstance(signing, EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    key, names = generate_private_key(SECP256R1()), list(hosts)
    builder = _builder(_name(names[0]), issuer.subject, key, SERVER_LASTS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
    )
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_general_name(host) for host in names]), critical=False
    )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
    )
    return _pem(builder.sign(signing, SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, lasts: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> Certified:
    return Certified(
        certificate.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )
