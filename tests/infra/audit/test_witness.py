"""A witness over HTTP: C2SP tlog-witness, by a server that keeps the protocol to the letter."""

import threading
import uuid
from base64 import b64encode
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from commands.customers import RegisterCustomer
from infra.audit.proofs import (
    BadProof,
    check_consistency,
    exactly,
    read_checkpoint,
)
from infra.audit.tree import EVENTS
from infra.audit.witness import HttpWitness, publish
from infra.runtime import audit_of
from tests.world import World

NAME = "witness.example/w1"
TYPE = b"\x04"
"""Cosignatures have a type of their own, so that a witness's key signs nothing else."""


class Server(HTTPServer):
    """A witness that knows one log: takes what continues, says 409 to another size, 422 else."""

    def __init__(self, key):
        super().__init__(("127.0.0.1", 0), Handler)
        self.key, self.seen, self.secret = key, None, Ed25519PrivateKey.generate()
        self.signs = True

    @property
    def public(self):
        return self.secret.public_key().public_bytes_raw()

    @property
    def vkey(self):
        return f"{NAME}+{self.id.hex()}+{b64encode(TYPE + self.public).decode()}"

    @property
    def id(self):
        return sha256(NAME.encode() + b"\n" + TYPE + self.public).digest()[:4]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        assert self.path == "/add-checkpoint"
        head, _, note = body.partition("\n\n")
        first, *hashes = head.split("\n")
        old, proof = int(first.removeprefix("old ")), [exactly(each) for each in hashes]
        seen, new = self.server.seen, read_checkpoint(note, self.server.key)
        if old != (seen.size if seen else 0):
            self.answer(409, f"{seen.size if seen else 0}\n", "text/x.tlog.size")
            return
        try:
            if seen:
                check_consistency(old, new.size, proof, seen.root, new.root)
        except BadProof:
            self.answer(422, "")
            return
        self.server.seen = new
        self.answer(200, self.cosigned(note) if self.server.signs else "")

    def cosigned(self, note):
        time = 1_760_000_000
        text = note.partition("\n\n")[0] + "\n"
        signature = self.server.secret.sign(f"cosignature/v1\ntime {time}\n{text}".encode())
        raw = self.server.id + time.to_bytes(8) + signature
        return f"— {NAME} {b64encode(raw).decode()}\n"

    def answer(self, code, body, kind="text/plain"):
        self.send_response(code)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def grown(runtime, catch_up):
    """Let the log grow and be signed; gives its tree."""
    world = World(runtime.store)

    def grow():
        before = runtime.events.head()
        world.ask(RegisterCustomer(customer={"email": f"{before}@x.org"}))
        assert catch_up() > before
        runtime.audit.checkpoint()
        return runtime.audit.trees[EVENTS]

    return grow


@pytest.fixture
def tree(grown):
    return grown()


def test_a_checkpoint_is_cosigned_and_the_next_one_continues_it(runtime, tree, grown):
    key = runtime.audit.signer.key(EVENTS)
    server = Server(key)
    with serving(server) as url:
        witness = HttpWitness(url, server.vkey)
        publish(tree, witness)
        assert NAME in tree.head().note
        assert read_checkpoint(tree.head().note, key) == server.seen
        publish(grown(), witness)
        assert server.seen.size == tree.head().size
        forgetful = HttpWitness(url, server.vkey)  # a process that begins anew
        grown()
        publish(tree, forgetful)  # is told what the witness has seen, and shows it again
        assert server.seen.size == tree.head().size
        publish(tree, forgetful)
        assert tree.head().note.count(NAME) == 1


def test_another_history_is_refused_by_the_witness_and_told(runtime, tree, grown):
    key = runtime.audit.signer.key(EVENTS)
    server = Server(key)
    with serving(server) as url:
        witness = HttpWitness(url, server.vkey)
        publish(tree, witness)
        server.seen = server.seen._replace(root=bytes(32))
        grown()
        with pytest.raises(BadProof, match="422"):
            publish(tree, witness)


def test_who_does_not_sign_or_signs_with_another_key_is_no_witness(runtime, tree):
    server = Server(runtime.audit.signer.key(EVENTS))
    other = Server(server.key)
    other.server_close()
    with serving(server) as url:
        with pytest.raises(BadProof, match="did not sign"):
            publish(tree, HttpWitness(url, other.vkey))
        server.seen, server.signs = None, False
        with pytest.raises(BadProof, match="did not sign"):
            publish(tree, HttpWitness(url, server.vkey))
    assert NAME not in tree.head().note


def test_two_auditors_at_once_are_no_fault(runtime, tree, grown, catch_up, monkeypatch):
    other = audit_of(runtime.settings, runtime.pool)
    mine, key = runtime.audit.file, runtime.audit.signer.key(EVENTS)
    asked, size = [], mine.size

    def late(of):
        """Another process signs and shows more just after we have asked what was seen."""
        seen = size(of)
        if of == key and not asked:
            asked.append(True)
            World(runtime.store).ask(
                RegisterCustomer(customer={"email": "late@x.org"}), str(uuid.uuid4())
            )
            catch_up()
            other.checkpoint()
        return seen

    monkeypatch.setattr(mine, "size", late)
    with capture_logs() as told:
        grown()
    assert asked
    assert told == []
    assert mine.size(key) == runtime.events.head()
    assert runtime.audit.verify().findings == []


def test_a_witness_that_is_away_does_not_stop_the_audit(runtime, tree, grown):
    runtime.audit.add_witness("http://127.0.0.1:9", "w+00000000+AAAA")
    grown()
    assert runtime.audit.verify().findings == []
