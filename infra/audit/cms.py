"""What a time stamp is made of: signed data (CMS, RFC 5652) that names its signer (RFC 5035).

A SET that no signature covers is read as a list: who writes one seldom sorts it as DER wants.
"""

from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier


@asn1.sequence
class Attribute:
    """Something that was signed along with the content (RFC 5652, 5.3)."""

    kind: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class SignerInfo:
    """A signature, and what it is over."""

    version: int
    signer: asn1.TLV
    digest: asn1.TLV
    signed: Annotated[asn1.SetOf[Attribute], asn1.Implicit(0)]
    algorithm: asn1.TLV
    signature: bytes
    unsigned: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class Content:
    """What was signed."""

    kind: ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class SignedData:
    """A content with its signatures (RFC 5652, 5.1)."""

    version: int
    digests: asn1.SetOf[asn1.TLV]
    content: Content
    certificates: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    revocations: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]
    signers: asn1.SetOf[SignerInfo]


@asn1.sequence
class Token:
    """A time stamp."""

    kind: ObjectIdentifier
    signed: Annotated[SignedData, asn1.Explicit(0)]


@asn1.sequence
class Reply:
    """What an authority answers."""

    status: asn1.TLV
    token: Token | None


@asn1.sequence
class Algorithm:
    """A hash by its name."""

    kind: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class CertificateV1:
    """The SHA-1 of a certificate (RFC 2634)."""

    hash: bytes
    issuer: list[asn1.TLV] | None


@asn1.sequence
class CertificateV2:
    """The hash of a certificate (RFC 5035); SHA-256 unless it says otherwise."""

    algorithm: Algorithm | None
    hash: bytes
    issuer: list[asn1.TLV] | None


@asn1.sequence
class SignerV1:
    """The signer's certificate comes first."""

    certificates: list[CertificateV1]
    policies: list[asn1.TLV] | None


@asn1.sequence
class SignerV2:
    """The same, with any hash."""

    certificates: list[CertificateV2]
    policies: list[asn1.TLV] | None


def in_order(reply: bytes) -> bytes:
    """Sort the certificates as DER wants it: many do not, and no signature covers it."""
    read = asn1.decode_der(Reply, reply)
    if read.token and read.token.signed.certificates:
        read.token.signed.certificates.sort(key=asn1.encode_der)
    return asn1.encode_der(read)
