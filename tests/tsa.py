"""A time-stamp authority (RFC 3161) over HTTP that signs real tokens, and can be told to lie.

It writes DER by itself, so that what reads it is held to the standard and not to itself.
"""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SIGNED_DATA, A_TIME = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
SHA256, ECDSA_SHA256 = "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"
CONTENT_TYPE, DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
NAMED_V1, NAMED = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
DAY = timedelta(days=1)


def der(tag, *parts):
    body = b"".join(parts)
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8 or 1)
    length = size if len(body) < 128 else bytes([0x80 + len(size)]) + size
    return bytes([tag]) + length + body


def seq(*parts):
    return der(0x30, *parts)


def set_of(*parts, tag=0x31):
    return der(tag, *sorted(parts))


def oid(dotted):
    return asn1.encode_der(x509.ObjectIdentifier(dotted))


def octets(raw):
    return der(0x04, raw)


def attribute(kind, value):
    return seq(oid(kind), set_of(value))


@asn1.sequence
class Imprint:
    algorithm: asn1.TLV
    hash: bytes


@asn1.sequence
class Query:
    version: int
    imprint: Imprint
    policy: x509.ObjectIdentifier | None
    nonce: int | None
    certificates: Annotated[bool, asn1.Default(False)]


class Issuer:
    """Whoever vouches for authorities."""

    def __init__(self, name="Root"):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), named(name)
        times = {"since": -30 * DAY, "until": 30 * DAY}
        made = self.certificate(self.name, self.key.public_key(), **times)
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        self.root = made.add_extension(constraint, critical=True).sign(self.key, hashes.SHA256())

    @property
    def pem(self):
        return self.root.public_bytes(Encoding.PEM)

    def certificate(self, subject, public, *, since=-DAY, until=DAY):
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(issuer_name=self.name).subject_name(subject)
        made = made.public_key(public).serial_number(x509.random_serial_number())
        return made.not_valid_before(now + since).not_valid_after(now + until)


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority(HTTPServer):
    """Signs whatever it is sent. What is set on it is what it lies about."""

    def __init__(self, issuer, **lies):
        super().__init__(("127.0.0.1", 0), Handler)
        self.key, self.asked, self.now = ec.generate_private_key(ec.SECP256R1()), 0, None
        self.certificate, self.signs = self.certified(issuer, **lies), self.key
        self.sent = (self.certificate, issuer.root)
        self.status, self.more_nonce, self.hash = 0, 0, None
        self.content, self.content_named = A_TIME, A_TIME
        self.names, self.kind = NAMED, "application/timestamp-reply"
        self.altered = lambda reply: reply

    def certified(
        self, issuer, purposes=(ExtendedKeyUsageOID.TIME_STAMPING,), critical=True, **when
    ):
        made = issuer.certificate(named("Authority"), self.key.public_key(), **when)
        if purposes:
            made = made.add_extension(x509.ExtendedKeyUsage(purposes), critical=critical)
        return made.sign(issuer.key, hashes.SHA256())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/tsr"

    def answer(self, query):
        read = asn1.decode_der(Query, query)
        assert read.certificates
        if self.status:
            return seq(seq(asn1.encode_der(self.status), seq(der(0x0C, b"no time today"))))
        self.asked += 1
        token = self.token(self.time(read))
        return self.altered(seq(seq(asn1.encode_der(0)), token))

    def time(self, query):
        at = (self.now or datetime.now(UTC)).strftime("%Y%m%d%H%M%SZ").encode()
        imprint = seq(seq(oid(SHA256), b"\x05\x00"), octets(self.hash or query.imprint.hash))
        nonce = asn1.encode_der(query.nonce + self.more_nonce)
        accuracy = seq(asn1.encode_der(1))
        return seq(asn1.encode_der(1), oid("1.2.3.4.1"), imprint, asn1.encode_der(self.asked),
                   der(0x18, at), accuracy, nonce)  # fmt: skip

    def attributes(self, content):
        raw = self.certificate.public_bytes(Encoding.DER)
        signers = {
            NAMED: octets(sha256(raw).digest()),
            NAMED_V1: octets(self.certificate.fingerprint(hashes.SHA1())),
            "another": octets(bytes(32)),
        }
        kind = NAMED if self.names == "another" else self.names
        return [
            attribute(CONTENT_TYPE, oid(self.content_named)),
            attribute(DIGEST, octets(sha256(content).digest())),
            *([attribute(kind, seq(seq(seq(signers[self.names]))))] if self.names else ()),
        ]

    def token(self, content):
        attributes = self.attributes(content)
        self.signature = self.signs.sign(set_of(*attributes), ec.ECDSA(hashes.SHA256()))
        self.signed = [content, *attributes, self.signature]
        who = seq(self.certificate.issuer.public_bytes(),
                  asn1.encode_der(self.certificate.serial_number))  # fmt: skip
        signer = seq(
            asn1.encode_der(1), who, seq(oid(SHA256)), set_of(*attributes, tag=0xA0),
            seq(oid(ECDSA_SHA256)), octets(self.signature),
        )  # fmt: skip
        sent = [each.public_bytes(Encoding.DER) for each in self.sent]
        data = seq(
            asn1.encode_der(3), set_of(seq(oid(SHA256))),
            seq(oid(self.content), der(0xA0, octets(content))),
            der(0xA0, *sent), set_of(signer),
        )  # fmt: skip
        return seq(oid(SIGNED_DATA), der(0xA0, data))


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.headers["content-type"] == "application/timestamp-query"
        body = self.server.answer(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", self.server.kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
