"""RFC 3161 time stamps: an authority with a clock of its own signs that something was there then.

`rfc3161-client` reads the reply and checks its signature and its chain of certificates. Checked
here is what it leaves out: that a time was signed, by a certificate that what was signed names.
"""

import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import Certificate, ExtendedKeyUsage, ObjectIdentifier
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from domain.rejected import Rejected
from infra.audit.cms import (
    Attribute,
    CertificateV1,
    CertificateV2,
    SignerV1,
    SignerV2,
    Token,
    in_order,
)

TIMEOUT_SECONDS = 5.0
LARGEST_REPLY = 100_000
QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"

SMIME = "1.2.840.113549.1.9"
CONTENT_TYPE = ObjectIdentifier(f"{SMIME}.3")
A_TIME = ObjectIdentifier(f"{SMIME}.16.1.4")
SIGNER_V1, SIGNER_V2 = ObjectIdentifier(f"{SMIME}.16.2.12"), ObjectIdentifier(f"{SMIME}.16.2.47")
SHA256 = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
HASHES: dict[ObjectIdentifier, hashes.HashAlgorithm] = {
    SHA256: hashes.SHA256(),
    ObjectIdentifier("2.16.840.1.101.3.4.2.2"): hashes.SHA384(),
    ObjectIdentifier("2.16.840.1.101.3.4.2.3"): hashes.SHA512(),
}


class TimeStampAuthority:
    """An authority over HTTP, and the certificates that it must come from."""

    def __init__(self, url: str | None, anchors: Sequence[Certificate]) -> None:
        self.url, self._anchors = url, anchors

    def stamp(self, text: str) -> bytes:
        """Have a text stamped; gives the reply, checked. Raises `Rejected`."""
        asking = TimestampRequestBuilder().data(text.encode()).hash_algorithm(HashAlgorithm.SHA256)
        query = asking.nonce(nonce=True).cert_request(cert_request=True).build()
        reply = self._send(query.as_bytes())
        self.check(reply, text, query.nonce)
        return reply

    def check(self, reply: bytes, text: str, nonce: int | None = None) -> datetime:
        """Check that a reply stamps a text; gives the time that it says. Raises `Rejected`."""
        parsed, wanted = parse(reply), sha256(text.encode()).digest()
        imprint = parsed.tst_info.message_imprint
        if (imprint.hash_algorithm, imprint.message) != (SHA256, wanted):
            raise Rejected("time_stamp.imprint", "The time stamp is of something else.")
        if nonce is not None and parsed.tst_info.nonce != nonce:
            raise Rejected("time_stamp.nonce", "The time stamp answers another request.")
        check_signer(parsed)
        self._check_chain(parsed, wanted)
        return parsed.tst_info.gen_time.astimezone(UTC)

    def _send(self, query: bytes) -> bytes:
        if self.url is None:
            raise Rejected("time_stamp.no_authority", "CRM_TSA_URL names no authority.")
        asking = urllib.request.Request(self.url, query, {"content-type": QUERY}, method="POST")  # noqa: S310 - the operator's own setting
        try:
            with urllib.request.urlopen(asking, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                kind, reply = answer.headers.get_content_type(), answer.read(LARGEST_REPLY)
        except urllib.error.HTTPError as error:
            with error:
                sentence = f"The authority answered with status {error.code}."
                raise Rejected("time_stamp.not_granted", sentence) from None
        except OSError as error:
            sentence = f"The authority cannot be reached: {getattr(error, 'reason', error)}."
            raise Rejected("time_stamp.unreachable", sentence) from None
        if kind != REPLY:
            raise Rejected("time_stamp.malformed", f"The authority answered with {kind}.")
        return bytes(reply)

    def _check_chain(self, parsed: TimeStampResponse, wanted: bytes) -> None:
        """Check the signature, and that its certificate comes from an anchor."""
        try:
            VerifierBuilder(roots=[*self._anchors]).build().verify(parsed, wanted)
        except VerificationError as error:
            reason = re.search(r"Verify error: ([^\"]+)", str(error))
            if reason is None:
                sentence = "The signature of the time stamp is false."
                raise Rejected("time_stamp.signature", sentence) from None
            sentence = f"No anchor in CRM_TSA_CERTIFICATES vouches for the authority: {reason[1]}."
            raise Rejected("time_stamp.not_trusted", sentence) from None


def anchors_in(file: Path) -> list[Certificate]:
    """Read certificates in PEM. Raises `Rejected`."""
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        raise Rejected("time_stamp.no_anchor", f"{file} holds no certificate in PEM.") from None


def parse(reply: bytes) -> TimeStampResponse:
    """Read a reply in DER that grants a time stamp. Raises `Rejected`."""
    try:
        parsed = decode_timestamp_response(in_order(reply))
        if parsed.status == 0:
            parsed.tst_info  # noqa: B018 - raises what is malformed further inside
    except ValueError:
        sentence = "The reply is no time-stamp reply as DER writes it."
        raise Rejected("time_stamp.malformed", sentence) from None
    if parsed.status != 0:
        why = "; ".join([f"status {parsed.status}", *parsed.status_string])
        raise Rejected("time_stamp.not_granted", f"The authority grants no time stamp: {why}.")
    return parsed


# ---- Who signed, and what ------------------------------------------------------------------------


class Named(NamedTuple):
    """How the signed attributes name the signer's certificate."""

    algorithm: hashes.HashAlgorithm
    hash: bytes


def check_signer(parsed: TimeStampResponse) -> None:
    """Check that a time was signed, by a certificate made for that and named. Raises `Rejected`."""
    try:
        signed = asn1.decode_der(Token, parsed.time_stamp_token()).signed
        (signer,) = signed.signers.as_list()
        attributes = {each.kind: only(each) for each in signer.signed.as_list()}
        is_time = {signed.content.kind, attributes[CONTENT_TYPE].parse(ObjectIdentifier)}
        named = named_in(attributes)
        certificate = certificate_of(parsed)
    except (ValueError, KeyError, IndexError, x509.InvalidVersion):
        sentence = "The time stamp is not signed the way that RFC 3161 wants."
        raise Rejected("time_stamp.malformed", sentence) from None
    if is_time != {A_TIME}:
        raise Rejected("time_stamp.malformed", "What was signed is not a time.")
    if certificate.fingerprint(named.algorithm) != named.hash:
        sentence = "The time stamp was signed by another certificate than it names."
        raise Rejected("time_stamp.certificate", sentence)
    check_certificate(certificate, parsed.tst_info.gen_time)


def only(attribute: Attribute) -> asn1.TLV:
    """Give the one value of an attribute; raises `ValueError`."""
    (value,) = attribute.values.as_list()
    return value


def named_in(attributes: dict[ObjectIdentifier, asn1.TLV]) -> Named:
    """Find how the signer is named; raises `KeyError` if it is not, or by an unknown hash."""
    if SIGNER_V2 in attributes:
        second: CertificateV2 = attributes[SIGNER_V2].parse(SignerV2).certificates[0]
        return Named(HASHES[second.algorithm.kind if second.algorithm else SHA256], second.hash)
    first: CertificateV1 = attributes[SIGNER_V1].parse(SignerV1).certificates[0]
    return Named(hashes.SHA1(), first.hash)  # noqa: S303 - the older attribute knows no other


def certificate_of(parsed: TimeStampResponse) -> Certificate:
    """Give the signer's certificate, which was asked for; raises `ValueError`."""
    (signer,) = parsed.signed_data.signer_infos
    sent = map(x509.load_der_x509_certificate, parsed.signed_data.certificates)
    wanted = (signer.issuer, signer.serial_number)
    (found,) = [each for each in sent if (each.issuer, each.serial_number) == wanted]
    return found


def check_certificate(certificate: Certificate, at: datetime) -> None:
    """Check what a certificate is for, and that it was valid then. Raises `Rejected`."""
    try:
        purpose = certificate.extensions.get_extension_for_class(ExtendedKeyUsage)
        allowed = purpose.critical and [*purpose.value] == [ExtendedKeyUsageOID.TIME_STAMPING]
    except (x509.ExtensionNotFound, ValueError):
        allowed = False
    if not allowed:
        sentence = "The authority's certificate is not for time stamps alone."
        raise Rejected("time_stamp.purpose", sentence)
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        sentence = "The authority's certificate was not valid at the time that it stamped."
        raise Rejected("time_stamp.expired", sentence)
