"""Vault and AWS KMS, against servers that keep their protocols: paths, tokens, signatures."""

import hmac
import json
import os
import re
import threading
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.approvals import Approvals
from infra.keys.aws_kms import AwsMasterKeys, Credentials, authorization
from infra.keys.keyring import Keyring, Slot
from infra.keys.masters import UnknownKeyService, master_keys
from infra.keys.rotation import Rotation
from infra.keys.vault import KeyService, VaultMasterKeys

SHOWN = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SLOT = Slot("a0000000-0000-0000-0000-000000000000", "content")


class Refused(Exception):
    pass


class Service(HTTPServer):
    """Keeps keys and asks its subclass what to do with a call."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys, self.deletable, self.aliases, self.calls = {}, set(), {}, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def seal(self, name, plain, bound):
        nonce = os.urandom(12)
        return nonce + AESGCM(self.key(name)).encrypt(nonce, plain, bound)

    def open(self, name, sealed, bound):
        try:
            return AESGCM(self.key(name)).decrypt(sealed[:12], sealed[12:], bound)
        except InvalidTag:
            raise Refused from None

    def key(self, name):
        if name not in self.keys:
            raise Refused
        return self.keys[name]


class Handler(BaseHTTPRequestHandler):
    def respond(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.calls.append((self.command, self.path))
        try:
            code, answer = 200, self.server.answer(self.command, self.path, self.headers, body)
        except Refused:
            code, answer = 400, {"errors": ["no"]}
        raw = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(code if raw else 204)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_POST(self):
        self.respond()

    def do_DELETE(self):
        self.respond()

    def log_message(self, *_):
        pass


class Vault(Service):
    """The transit engine: https://developer.hashicorp.com/vault/api-docs/secret/transit."""

    def answer(self, method, path, headers, body):
        sent = json.loads(body) if body else {}
        match = re.fullmatch(r"/v1/transit/(keys|encrypt|decrypt)/([\w-]+)(/config)?", path)
        if headers["X-Vault-Token"] != "s.token" or not match:
            raise Refused
        act, name, config = match.groups()
        if act == "keys" and method == "DELETE":
            if name not in self.deletable:
                raise Refused
            del self.keys[name]
            return None
        if act == "keys" and config:
            self.key(name)
            if sent["deletion_allowed"] is True:
                self.deletable.add(name)
            return None
        if act == "keys":
            assert sent["type"] == "aes256-gcm96"
            self.keys.setdefault(name, AESGCM.generate_key(256))
            return None
        bound = b64decode(sent["associated_data"], validate=True)
        if act == "encrypt":
            sealed = self.seal(name, b64decode(sent["plaintext"], validate=True), bound)
            return {"data": {"ciphertext": f"vault:v1:{b64encode(sealed).decode()}"}}
        prefix, _, sealed = sent["ciphertext"].rpartition(":")
        assert prefix == "vault:v1"
        plain = self.open(name, b64decode(sealed), bound)
        return {"data": {"plaintext": b64encode(plain).decode()}}


class Kms(Service):
    """AWS KMS: https://docs.aws.amazon.com/kms/latest/APIReference, signatures checked."""

    def answer(self, method, path, headers, body):
        assert (method, path) == ("POST", "/")
        assert headers["content-type"] == "application/x-amz-json-1.1"
        self.check_signature(headers, body)
        action = headers["x-amz-target"].removeprefix("TrentService.")
        return getattr(self, re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower())(json.loads(body))

    def check_signature(self, headers, body):
        pattern = r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/eu-central-1/kms/aws4_request, " \
                  r"SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})"  # fmt: skip
        shown = re.fullmatch(pattern, headers["authorization"])
        if not shown or shown[1] != SHOWN.key_id:
            raise Refused
        names = shown[3].split(";")
        assert {"host", "x-amz-date", "x-amz-target", "content-type"} <= set(names)
        canonical = "\n".join(["POST", "/", "", *(f"{n}:{headers[n].strip()}" for n in names), "",
                               shown[3], sha256(body).hexdigest()])  # fmt: skip
        scope = f"{shown[2]}/eu-central-1/kms/aws4_request"
        told = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                sha256(canonical.encode()).hexdigest()]  # fmt: skip
        key = b"AWS4" + SHOWN.secret.encode()
        for part in (shown[2], "eu-central-1", "kms", "aws4_request", "\n".join(told)):
            key = hmac.new(key, part.encode(), sha256).digest()
        if key.hex() != shown[4]:
            raise Refused

    def create_key(self, sent):
        id_ = f"key-{len(self.keys)}"
        self.keys[id_] = AESGCM.generate_key(256)
        return {"KeyMetadata": {"KeyId": id_}}

    def create_alias(self, sent):
        if sent["AliasName"] in self.aliases:
            raise Refused
        self.aliases[sent["AliasName"]] = sent["TargetKeyId"]

    def encrypt(self, sent):
        sealed = self.seal(self.named(sent), b64decode(sent["Plaintext"]), self.context(sent))
        return {"CiphertextBlob": b64encode(sealed).decode(), "KeyId": self.named(sent)}

    def decrypt(self, sent):
        sealed = b64decode(sent["CiphertextBlob"])
        plain = self.open(self.named(sent), sealed, self.context(sent))
        return {"Plaintext": b64encode(plain).decode(), "KeyId": self.named(sent)}

    def describe_key(self, sent):
        return {"KeyMetadata": {"KeyId": self.named(sent)}}

    def schedule_key_deletion(self, sent):
        assert 7 <= sent["PendingWindowInDays"] <= 30
        del self.keys[sent["KeyId"]]
        return {"KeyId": sent["KeyId"], "DeletionDate": 1_800_000_000.0}

    def named(self, sent):
        return self.aliases.get(sent["KeyId"], "")

    def context(self, sent):
        return json.dumps(sent["EncryptionContext"]).encode()


@pytest.fixture(params=[Vault, Kms])
def service(request):
    server = request.param()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def masters(service, monkeypatch):
    """As the settings name them."""
    if isinstance(service, Vault):
        monkeypatch.setenv("VAULT_TOKEN", "s.token")
        return master_keys(f"vault:{service.url}#transit/crm", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SHOWN.key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SHOWN.secret)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", service.url)
    return master_keys("aws-kms:eu-central-1/crm", None)


def test_what_is_wrapped_can_be_unwrapped_only_where_it_belongs(masters):
    masters.make(1)
    wrapped = masters.wrap(1, b"secret" * 5, b"place")
    assert b"secret" not in wrapped
    assert masters.unwrap(1, wrapped, b"place") == b"secret" * 5
    masters.make(2)
    for epoch, bound in ((1, b"other place"), (2, b"place"), (3, b"place")):
        with pytest.raises(KeyService):
            masters.unwrap(epoch, wrapped, bound)


def test_an_epoch_that_is_destroyed_opens_nothing(masters, service):
    masters.make(1)
    wrapped = masters.wrap(1, b"secret", b"place")
    later = masters.destroy(1)
    assert later == (None if isinstance(service, Vault) else datetime.fromtimestamp(1.8e9, UTC))
    with pytest.raises(KeyService):
        masters.unwrap(1, wrapped, b"place")


def test_data_keys_live_through_a_rotation(masters, runtime):
    masters.make(1)
    keyring = Keyring(runtime.pool, masters)
    secret = keyring.ensure("acme", [SLOT])[SLOT].secret
    assert Rotation(runtime.pool, masters, Approvals(runtime.pool), 30).rotate() == 1
    keyring.forget()
    assert keyring.find("acme", [SLOT])[SLOT].secret == secret
    with runtime.pool.connection() as conn:
        assert conn.execute("SELECT epoch FROM crm_keys.data_key").fetchall() == [(2,)]


def test_the_wrong_credentials_are_refused_and_told_without_a_secret(service):
    if isinstance(service, Vault):
        masters = VaultMasterKeys(service.url, "transit", "crm", "s.wrong")
    else:
        wrong = SHOWN._replace(secret="wrong")
        masters = AwsMasterKeys("eu-central-1", "crm", wrong, service.url)
    with pytest.raises(KeyService, match="400") as refused:
        masters.make(1)
    assert "wrong" not in str(refused.value)


def test_a_service_that_is_away_is_told():
    with pytest.raises(KeyService, match="away"):
        VaultMasterKeys("http://127.0.0.1:9", "transit", "crm", "t").make(1)


def test_the_signature_is_that_of_the_published_example():
    """`post-vanilla` of the test suite that AWS has published for Signature Version 4."""
    headers = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
    assert authorization(SHOWN, "us-east-1", "service", headers, b"") == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    )


def test_an_unknown_place_for_keys_is_refused(tmp_path):
    with pytest.raises(UnknownKeyService, match="azure"):
        master_keys("azure:x", tmp_path / "master.key")
