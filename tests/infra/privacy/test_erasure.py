"""Erasing a customer: nobody can read anything any more, whatever is tried, and it can be shown."""

from base64 import b64decode

import orjson
import pytest

from commands.cases import OpenCase
from commands.command import ByEmail, ByExternalId
from commands.customers import (
    AddIdentifier,
    ChangeProfile,
    MergeCustomer,
    RegisterCustomer,
)
from commands.ingest import Message, ingest
from commands.interactions import RecordInteraction
from commands.ports import Forgotten, Who
from domain.catalogue import EVENTS as EVENT_NAMES
from domain.personal import GROUPS
from domain.rejected import Rejected
from infra.access import looking
from infra.approvals import Approvals
from infra.audit.proofs import check_inclusion, leaf_hash, read_checkpoint
from infra.audit.tree import EVENTS
from infra.keys.keyring import Keyring, Slot
from infra.keys.masters import FileMasterKeys
from infra.privacy.erasure import ask, erase, find, reapply
from infra.privacy.erasure_ledger import ErasuresMissing
from infra.privacy.requests import everybody
from infra.read_models.reader import Reader
from infra.runtime import open_runtime
from tests.infra.privacy.erased import ALICE, ANN, BOB, NAME, ann_in, forget, owner

GONE = "redacted"


@pytest.fixture
def world(runtime, catch_up):
    return ann_in(runtime, catch_up)


def everything_about(runtime, id_):
    reader = Reader(runtime)
    history = reader.history("acme", id_, limit=1000).items
    return [reader.customer("acme", id_), history, reader.cases("acme").items,
            reader.leads("acme").items, reader.changes("acme", "customer_view").items]  # fmt: skip


# ---- What an erasure does ------------------------------------------------------------------------


def test_nothing_personal_can_be_read_after_it_and_the_rest_still_can(runtime, world, catch_up):
    before = orjson.dumps(everything_about(runtime, world.ann)).decode().lower()
    assert before.count("canary") > 5
    done = forget(runtime, world.ann)
    assert done.state == "done"
    catch_up()
    after = orjson.dumps(everything_about(runtime, world.ann)).decode()
    assert "canary" not in after.lower()
    assert "Nameson" not in after
    customer = Reader(runtime).customer("acme", world.ann)
    assert customer["profile"]["full_name"] == {GONE: "erased", "certificate": done.id}
    assert {i["value"][GONE] for i in customer["identifiers"]} == {"erased"}
    assert (customer["revenue"], customer["purchases"]) == ({"EUR": 100}, 1)
    first = Reader(runtime).history("acme", world.ann).items[0]
    assert first["authid"] == "tests"
    told = [event["data"] for event in everything_about(runtime, world.ann)[1]]
    for field in ("title", "message"):
        values = [data[field] for data in told if data.get(field)]
        assert values == [{GONE: "erased", "certificate": done.id}]


def test_what_was_incremental_equals_what_is_rebuilt(runtime, world, catch_up):
    forget(runtime, world.ann)
    catch_up()
    before = rows(runtime)
    for table in runtime.tables.values():
        table.drop()
        table.create()
    catch_up()
    assert rows(runtime) == before


def rows(runtime):
    with runtime.pool.connection() as conn:
        return {
            name: conn.execute(f"SELECT to_json(t) FROM read.{name} t ORDER BY key").fetchall()
            for name in runtime.tables
        }


def test_whoever_was_merged_a_moment_ago_is_erased_as_well(runtime, world):
    other = ByExternalId(system="shop", id="8")
    world.ask(RegisterCustomer(customer=other, full_name="Annie"))
    world.ask(MergeCustomer(customer=other, into=ANN, reason="same"))
    late = owner(runtime, other)
    assert late not in Reader(runtime).same_customer("acme", world.ann)  # nobody has caught up
    for named in (world.ann, late):
        assert everybody(runtime, "acme", named)[0] == world.ann
    certificate = told(forget(runtime, world.ann))
    assert late in certificate["subjects"]
    assert not runtime.keyring.find("acme", [Slot(late, "identity")])


def test_a_person_who_comes_back_is_a_stranger(runtime, world, catch_up):
    forget(runtime, world.ann)
    assert owner(runtime, ANN) is None
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann again"))
    again = owner(runtime, ANN)
    assert again not in (None, world.ann)
    catch_up()
    assert Reader(runtime).customer("acme", again)["profile"]["full_name"] == "Ann again"


def test_nothing_more_is_kept_about_an_erased_customer(runtime, world):
    forget(runtime, world.ann)
    for command in (
        ChangeProfile(customer=world.ann, full_name="Ann"),
        AddIdentifier(customer=world.ann, identifier=ANN),
        RegisterCustomer(customer=world.ann),
        RecordInteraction(customer=world.ann, channel="web", kind="visit", message="hello"),
        OpenCase(case=ByExternalId(system="desk", id="2"), customer=world.ann, channel="email",
                 title="again"),
    ):  # fmt: skip
        verdict = world.ask(command)
        assert (verdict.status, verdict.code) == ("rejected", "customer.erased"), command
    both = world.ask_all([
        (RecordInteraction(customer=world.ann, channel="web", kind="visit", message="x"), "", None),
        (RegisterCustomer(customer=ByEmail(email="bob@x.org"), full_name="Bob"), "", None),
    ])  # fmt: skip
    assert [verdict.status for verdict in both] == ["rejected", "accepted"]


def test_a_destroyed_key_can_never_be_made_again(runtime, world):
    forget(runtime, world.ann)
    slots = [Slot(world.ann, group) for group in GROUPS]
    for keyring in (
        runtime.keyring,
        Keyring(runtime.pool, FileMasterKeys(runtime.settings.key_file)),
    ):
        assert keyring.find("acme", slots) == {}
        for slot in slots:
            with pytest.raises(Forgotten):
                keyring.ensure("acme", [slot])
    assert runtime.keyring.ensure("other", slots).keys() == set(slots)  # another tenant's person


def test_messages_that_were_refused_and_quote_the_person_are_dropped(runtime, world):
    def refuse(text):
        message = {
            "specversion": "1.0",
            "id": text,
            "source": "web",
            "type": "no.such",
            "data": text,
        }
        raw = orjson.dumps(message)
        ingest([Message(message, raw)], world.who, world.ports, runtime.refused)

    for text in (f"call {NAME}", "ANN.CANARY@example.org", world.ann, "about somebody else"):
        refuse(text)
    done = forget(runtime, world.ann)
    left = runtime.refused.page("acme", "00000000-0000-0000-0000-000000000000", 10)
    assert [message.message_id for message in left] == ["about somebody else"]
    assert told(done)["removed"]["refused_messages"] == 3


# ---- The certificate -----------------------------------------------------------------------------


def told(done):
    return orjson.loads(done.certificate.partition("\n\n— ")[0])


def test_the_certificate_is_signed_and_says_what_was_done(runtime, world, catch_up):
    with looking("cli:carol", "complaint of canary"):
        Reader(runtime).customer("acme", world.ann)
    done = forget(runtime, world.ann)
    certificate = told(done)
    (shown_to,) = certificate["recipients"]
    assert (shown_to["who"], shown_to["looks"], shown_to["exports"]) == ("cli:carol", 1, 0)
    assert certificate["told"]["event"] in EVENT_NAMES
    assert set(certificate["told"]["change_feeds"]) == set(runtime.tables)
    text, _, line = done.certificate.partition("\n\n— ")
    name, signature = line.split()
    assert name == runtime.audit.signer.origin("certificate")
    raw = b64decode(signature)
    runtime.audit.signer.verify("certificate", raw, f"{text}\n")
    with pytest.raises(ValueError, match="false"):
        runtime.audit.signer.verify("certificate", raw, f"{text} \n")
    assert len(certificate["keys"]) == 5  # identity, contact, content of one; two of the other
    assert (certificate["asked_by"], certificate["approved_by"]) == ("cli:alice", "cli:bob")
    assert set(certificate["subjects"]) == set(Reader(runtime).same_customer("acme", world.ann))
    assert certificate["scan"]["found"] == []
    assert certificate["scan"]["words"] >= 4
    assert "read.customer_view_v1" in certificate["scan"]["tables"]
    assert [epoch["epoch"] for epoch in certificate["epochs"]] == [1]
    assert read_checkpoint(certificate["checkpoint"], runtime.audit.signer.key(EVENTS)).size > 0
    assert "canary" not in done.certificate.lower()


def test_proofs_from_before_an_erasure_still_hold_after_it(runtime, world, catch_up):
    runtime.audit.checkpoint()
    tree, key = runtime.audit.trees[EVENTS], runtime.audit.signer.key(EVENTS)
    before = read_checkpoint(tree.head().note, key)
    events = runtime.events.read(0, 1000, ()).events
    proofs = [tree.inclusion(position, before.size) for position, _ in events]
    forget(runtime, world.ann)
    catch_up()
    runtime.audit.checkpoint()
    after = dict(runtime.events.read(0, 1000, ()).events)
    for (position, _), proof in zip(events, proofs, strict=True):
        leaf = leaf_hash(after[position])
        check_inclusion(leaf, position - 1, before.size, proof, before.root)
    assert runtime.audit.verify().findings == []


def test_an_erasure_that_is_asked_twice_has_one_certificate(runtime, world):
    done = forget(runtime, world.ann)
    assert erase(runtime, "acme", done.id) == done == find(runtime, "acme", done.id)


def test_there_is_no_certificate_while_anything_is_left(runtime, world):
    asked = ask(runtime, ALICE, world.ann, "she asked")
    Approvals(runtime.pool).approve(BOB, asked.id, asked.digest)
    leak = "UPDATE read.customer_view SET registered_over = %s WHERE key = %s"
    with runtime.pool.connection() as conn:
        conn.execute(leak, [f"said to be {NAME.upper()}", world.ann])
    with pytest.raises(Rejected, match="customer_view") as no:
        erase(runtime, "acme", asked.id)
    assert no.value.code == "erasure.incomplete"
    assert find(runtime, "acme", asked.id) == (asked.id, "begun", None)
    assert not runtime.keyring.find("acme", [Slot(world.ann, "identity")])  # gone all the same


# ---- Four eyes -----------------------------------------------------------------------------------


def test_nobody_erases_alone(runtime, world):
    asked, approvals = ask(runtime, ALICE, world.ann, "she asked"), Approvals(runtime.pool)
    carol, mallory = Who("acme", "cli:carol"), Who("other", "cli:mallory")

    def refused(code, act, *arguments):
        with pytest.raises(Rejected) as no:
            act(*arguments)
        assert no.value.code == code

    refused("request.not_approved", erase, runtime, "acme", asked.id)
    refused("request.same_person", approvals.approve, ALICE, asked.id, asked.digest)
    refused("request.changed", approvals.approve, BOB, asked.id, "00" * 32)
    refused("request.changed", approvals.approve, BOB, asked.id, "not a digest")
    refused("request.unknown", approvals.approve, mallory, asked.id, asked.digest)
    refused("request.unknown", erase, runtime, "other", asked.id)
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm.request SET expires_at = clock_timestamp()")
    refused("request.expired", approvals.approve, BOB, asked.id, asked.digest)
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm.request SET expires_at = '2999-01-01', asked = asked || ' '")
    refused("request.changed", approvals.approve, BOB, asked.id, asked.digest)
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm.request SET asked = substr(asked, 1, length(asked) - 1)")
    assert approvals.approve(BOB, asked.id, asked.digest).approved_by == "cli:bob"
    refused("request.decided", approvals.approve, carol, asked.id, asked.digest)
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm.request SET asked = asked || ' '")
    refused("request.changed", erase, runtime, "acme", asked.id)
    assert Reader(runtime).customer("acme", world.ann)["profile"]["full_name"] == NAME


# ---- Restored backups ----------------------------------------------------------------------------


def test_a_restored_database_is_not_served_before_it_has_forgotten_again(runtime, world, catch_up):
    with runtime.pool.connection() as conn:
        backup = conn.execute("SELECT to_jsonb(k) FROM crm_keys.data_key k").fetchall()
        identifiers = conn.execute("SELECT to_jsonb(i) FROM crm.identifier i").fetchall()
    forget(runtime, world.ann)
    with runtime.pool.connection() as conn, conn.transaction():  # from before the erasure
        conn.execute("DELETE FROM crm_keys.data_key")
        for table, rows in (("crm_keys.data_key", backup), ("crm.identifier", identifiers)):
            for (row,) in rows:
                conn.execute(
                    f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, %s)"
                    " ON CONFLICT DO NOTHING",
                    [orjson.dumps(row).decode()],
                )
        conn.execute("DELETE FROM crm.erasure")
    with (
        pytest.raises(ErasuresMissing, match="crm privacy reapply"),
        open_runtime(runtime.settings),
    ):
        pass
    with open_runtime(runtime.settings, erased=False) as restored:
        assert restored.keyring.find("acme", [Slot(world.ann, "identity")])
        assert reapply(restored) == 2
        assert not restored.keyring.find("acme", [Slot(world.ann, "identity")])
        assert owner(restored, ANN) is None
    with open_runtime(runtime.settings):
        assert reapply(runtime) == 0
