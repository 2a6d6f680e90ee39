"""RFC 3161 time stamps, from an authority that keeps the protocol, or breaks it in each way."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from commands.command import ByEmail
from commands.customers import RegisterCustomer
from domain.rejected import Rejected
from infra.audit.export import export
from infra.audit.proofs import BadProof, check
from infra.audit.time_stamp import TimeStampAuthority
from infra.audit.tree import ACCESS, EVENTS
from infra.runtime import audit_of, stamping_of
from tests.tsa import DAY, NAMED_V1, SIGNED_DATA, Authority, Issuer, serving
from tests.world import World

TEXT = "crm-0123456789ab/events\n1\nAAAA\n\n— somebody signed\n"
ANN = ByEmail(email="ann@example.org")
OPENSSL = shutil.which("openssl")


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture
def asked(issuer):
    """Have a text stamped by an authority that lies as it is told; gives its reply and its time."""

    def ask(*, by=issuer, certified=None, **lies):
        with serving(Authority(by, **certified or {})) as server:
            vars(server).update(lies)
            authority = TimeStampAuthority(server.url, [issuer.root])
            reply = authority.stamp(TEXT)
        return SimpleNamespace(
            server=server, reply=reply, at=authority.check(reply, TEXT), authority=authority
        )

    return ask


@pytest.mark.parametrize("names", ["1.2.840.113549.1.9.16.2.47", NAMED_V1])
def test_a_time_stamp_tells_when_a_text_was_there(asked, names):
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= asked(names=names).at <= datetime.now(UTC)


def test_a_certificate_counts_at_the_time_of_the_stamp_not_later(asked):
    then = datetime.now(UTC).replace(microsecond=0) - 5 * DAY
    past = {"since": -9 * DAY, "until": -2 * DAY}
    assert asked(certified=past, now=then).at == then


ANY = [ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING]
LIES = {
    "nonce": ({"more_nonce": 1}, "time_stamp.nonce"),
    "imprint": ({"hash": bytes(32)}, "time_stamp.imprint"),
    "refusal": ({"status": 2}, "time_stamp.not_granted"),
    "waiting": ({"status": 3}, "time_stamp.not_granted"),
    "foreign": ({"by": Issuer("Foreign")}, "time_stamp.not_trusted"),
    "same name": ({"by": Issuer("Root")}, "time_stamp.not_trusted"),
    "no purpose": ({"certified": {"purposes": ()}}, "time_stamp.purpose"),
    "other purpose": ({"certified": {"purposes": ANY[1:]}}, "time_stamp.purpose"),
    "two purposes": ({"certified": {"purposes": ANY}}, "time_stamp.purpose"),
    "not critical": ({"certified": {"critical": False}}, "time_stamp.purpose"),
    "expired": ({"certified": {"since": -9 * DAY, "until": -2 * DAY}}, "time_stamp.expired"),
    "too early": ({"certified": {"since": timedelta(hours=1)}}, "time_stamp.expired"),
    "signer not named": ({"names": None}, "time_stamp.malformed"),
    "another named": ({"names": "another"}, "time_stamp.certificate"),
    "no time": ({"content": SIGNED_DATA}, "time_stamp.malformed"),
    "time not signed as one": ({"content_named": SIGNED_DATA}, "time_stamp.malformed"),
    "no certificate": ({"sent": ()}, "time_stamp.malformed"),
    "another's signature": ({"signs": Issuer().key}, "time_stamp.signature"),
    "another kind": ({"kind": "text/html"}, "time_stamp.malformed"),
    "not DER": ({"altered": lambda _: b"<html>"}, "time_stamp.malformed"),
    "cut": ({"altered": lambda raw: raw[:-1]}, "time_stamp.malformed"),
    "more": ({"altered": lambda raw: raw + b"\0"}, "time_stamp.malformed"),
    "empty": ({"altered": lambda _: b""}, "time_stamp.malformed"),
}


@pytest.mark.parametrize("lie", LIES)
def test_whatever_is_not_as_it_must_be_is_refused(asked, lie):
    lies, code = LIES[lie]
    with pytest.raises(Rejected) as no:
        asked(**lies)
    assert no.value.code == code
    assert no.value.sentence.endswith(".")


def test_who_does_not_answer_is_told(issuer):
    with pytest.raises(Rejected) as no:
        TimeStampAuthority("http://127.0.0.1:9", [issuer.root]).stamp(TEXT)
    assert no.value.code == "time_stamp.unreachable"
    with pytest.raises(Rejected) as no:
        TimeStampAuthority(None, [issuer.root]).stamp(TEXT)
    assert no.value.code == "time_stamp.no_authority"


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_not_one_bit_of_what_was_signed_can_be_another(asked):
    good = asked()
    reply, certificate = good.reply, good.server.sent[0].public_bytes(Encoding.DER)
    refused = 0
    for part in (*good.server.signed, certificate):
        start = reply.index(part)
        for at in range(start, start + len(part)):
            false = bytearray(reply)
            false[at] ^= 1 << at % 8
            with pytest.raises(Rejected) as no:
                good.authority.check(bytes(false), TEXT)
            assert no.value.code.startswith("time_stamp.")
            refused += 1
    assert refused > 600


@pytest.mark.skipif(OPENSSL is None, reason="only to be sure that OpenSSL reads the same")
def test_openssl_verifies_it_as_well(asked, issuer, tmp_path):
    (tmp_path / "1.tsr").write_bytes(asked().reply)
    (tmp_path / "1.txt").write_text(TEXT)
    (tmp_path / "root.pem").write_bytes(issuer.pem)
    assert openssl_verifies(tmp_path, "1", tmp_path / "root.pem")
    (tmp_path / "1.txt").write_text(TEXT + " ")
    assert not openssl_verifies(tmp_path, "1", tmp_path / "root.pem")


def openssl_verifies(directory, name, root):
    command = [OPENSSL, "ts", "-verify", "-in", f"{name}.tsr", "-data", f"{name}.txt",
               "-CAfile", str(root)]  # fmt: skip
    return subprocess.run(command, cwd=directory, check=False, capture_output=True).returncode == 0


# ---- Checkpoints ---------------------------------------------------------------------------------


@pytest.fixture
def stamped(runtime, catch_up, issuer, tmp_path):
    """An installation whose checkpoints are stamped: `grow` it, look at its `audit`."""
    root = tmp_path / "root.pem"
    root.write_bytes(issuer.pem)
    world = World(runtime.store)

    def grow(customer=ANN):
        world.ask(RegisterCustomer(customer=customer, full_name="Somebody"))
        catch_up()
        runtime.audit.checkpoint()
        return runtime.events.head()

    with serving(Authority(issuer)) as server:
        chosen = {"tsa_url": server.url, "tsa_certificates": root}
        settings = runtime.settings.model_copy(update=chosen)
        runtime.audit.stamping = audit_of(settings, runtime.pool).stamping
        yield SimpleNamespace(server=server, grow=grow, audit=runtime.audit, root=root)


def test_the_newest_checkpoint_is_stamped_now_and_then_and_verified(stamped, runtime):
    size = stamped.grow()
    stamped.audit.stamp()
    stamped.grow(ByEmail(email="bea@example.org"))
    stamped.audit.stamp()  # not due yet
    report = stamped.audit.verify()
    assert stamped.server.asked == 1
    assert (report.findings, report.stamps, report.times.size) == ([], 1, size)
    assert report.times.at <= datetime.now(UTC)
    stamped.audit.stamp(now=True)
    stamped.audit.stamp(now=True)  # which is stamped already
    assert (stamped.server.asked, stamped.audit.verify().times.checked) == (2, 2)
    assert stamped.audit.verify(ACCESS).stamps == 0
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm.tree_head SET time_stamp = (SELECT time_stamp FROM crm.tree_head"
                     " WHERE size = %s) WHERE size > %s", [size, size])  # fmt: skip
    (found,) = stamped.audit.verify().findings
    assert found.sentence.endswith("The time stamp is of something else.")
    stamped.audit.stamping = None
    assert (stamped.audit.verify().stamps, stamped.audit.verify().times.checked) == (2, 0)


def test_an_authority_that_is_away_stops_nothing_and_is_not_asked_again_at_once(stamped):
    stamped.grow()
    stamped.server.status = 2
    stamped.audit.stamp()
    stamped.server.status = 0
    stamped.audit.stamp()
    assert stamped.server.asked == 0
    stamped.audit.stamp(now=True)
    assert stamped.audit.verify().times.checked == 1


def test_what_a_witness_adds_later_leaves_the_time_stamp_whole(stamped):
    size = stamped.grow()
    stamped.audit.stamp(now=True)
    stamped.audit.trees[EVENTS].add_signatures(size, "— witness.example/w1 AAAA\n")
    assert stamped.audit.verify().times.size == size


def test_a_bundle_holds_the_first_time_stamp_after_each_event(stamped, runtime, tmp_path):
    first = stamped.grow()
    stamped.audit.stamp(now=True)
    for number in range(3):
        last = stamped.grow(ByEmail(email=f"{number}@example.org"))
        stamped.audit.stamp(now=True)
    (id_,) = runtime.store.owners("acme", [ANN.identifier()]).values()
    written = export(runtime, "acme", id_, tmp_path / "ann")
    assert (written.size, first) == (last, written.events)
    place = written.directory / "time-stamps"
    assert {file.name for file in place.iterdir()} == {f"{first}.txt", f"{first}.tsr", "README.md"}
    assert check(written.directory)[0] == written.events
    run = subprocess.run([sys.executable, "-I", "verify.py"], cwd=written.directory, check=False)
    assert run.returncode == 0
    assert OPENSSL is None or openssl_verifies(place, str(first), stamped.root)
    foreign = runtime.audit.signer.checkpoint(EVENTS, first, bytes(32))
    (place / f"{first}.txt").write_text(foreign)
    with pytest.raises(BadProof, match="time stamp"):
        check(written.directory)


def test_an_authority_without_anchors_is_refused_at_the_start(runtime, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for chosen in ({"tsa_url": "http://127.0.0.1:9"}, {"tsa_certificates": empty}):
        with pytest.raises(Rejected) as no:
            stamping_of(runtime.settings.model_copy(update=chosen), runtime.pool)
        assert no.value.code == "time_stamp.no_anchor"
