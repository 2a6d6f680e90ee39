"""Retention schedules on real data: what is due dies by itself, and nothing else does."""

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta

import orjson
import pytest

from commands.cases import CloseCase, OpenCase, ResolveCase
from commands.command import ByEmail, ByExternalId
from commands.customers import (
    ChangeProfile,
    GrantConsent,
    MergeCustomer,
    RecordPurchase,
    RegisterCustomer,
    WithdrawConsent,
)
from commands.interactions import RecordInteraction
from commands.leads import CaptureLead, LoseLead
from commands.ports import Who
from consumers import expiring
from consumers.expiring import destroy_due
from domain.personal import GROUPS
from domain.rejected import Rejected
from domain.schedule import Schedule
from infra.approvals import Approvals
from infra.keys.keyring import Slot
from infra.privacy import rights, schedules
from infra.privacy.erasure import find, reapply
from infra.privacy.erasure_ledger import ErasuresMissing
from infra.privacy.four_eyes import carry_out
from infra.privacy.holds import put
from infra.read_models.reader import Reader
from infra.runtime import open_runtime
from tests.world import NOON, World

ANN, BOB = ByEmail(email="ann.canary@example.org"), ByEmail(email="bob@example.org")
ALICE, CAROL = Who("acme", "cli:alice"), Who("acme", "cli:carol")
MESSAGES = Schedule(name="messages", groups=("content",), trigger="last_event", period="2 years")
PEOPLE = Schedule(name="people", groups=GROUPS, trigger="last_event", period="5 years")


@pytest.fixture
def world(runtime, catch_up):
    """Ann wrote once; Bob, who is the same as Robert, goes on buying."""
    world, robert = World(runtime.store), ByExternalId(system="shop", id="7")
    for command in (
        RegisterCustomer(customer=ANN, full_name="Ann Canary"),
        RecordInteraction(customer=ANN, channel="web", kind="visit", message="canary message"),
        RegisterCustomer(customer=BOB, full_name="Bob"),
        RegisterCustomer(customer=robert, full_name="Robert"),
        RecordInteraction(customer=robert, channel="web", kind="visit", message="hello"),
        MergeCustomer(customer=robert, into=BOB, reason="same"),
    ):
        assert world.ask(command).status == "accepted"
    bought = RecordPurchase(customer=BOB, amount={"amount": 100, "currency": "EUR"})
    world.now += timedelta(days=1000)
    world.ask(bought)
    catch_up()
    world.ann, world.bob = (owner(runtime, ref) for ref in (ANN, BOB))
    return world


def owner(runtime, ref):
    return runtime.store.owners("acme", [ref.identifier()]).get(ref.identifier())


def at(runtime, days: int):
    """The same runtime, some days after everything began."""
    return replace(runtime, ports=runtime.ports._replace(now=lambda: NOON + timedelta(days=days)))


def agree(runtime, *wanted: Schedule):
    asked = schedules.ask(runtime, ALICE, wanted)
    approved = Approvals(runtime.pool).approve(CAROL, asked.id, asked.digest)
    return carry_out(runtime, approved)


def living(runtime, subject):
    return {slot.group for slot in runtime.keyring.find("acme", [Slot(subject, g) for g in GROUPS])}


def told(runtime, task):
    return orjson.loads(find(runtime, "acme", task.id).certificate.partition("\n\n— ")[0])


# ---- What is due ---------------------------------------------------------------------------------


def test_what_is_due_dies_and_the_record_says_by_which_schedule(runtime, world, catch_up):
    then = at(runtime, 900)
    assert agree(then, MESSAGES).endswith("version 1 of the schedules from now on.")
    [due] = schedules.due_data(then, "acme", then.ports.now())
    assert (due.customer, due.schedule, due.kept) == (world.ann, "messages", None)
    assert due.due_at == datetime.fromisoformat("2028-01-31T12:00:02Z")
    assert "canary" not in str(due)

    [task] = destroy_due(then, "acme")
    assert living(runtime, world.ann) == {"identity", "contact"}
    assert living(runtime, world.bob) >= {"identity", "contact"}
    certificate = told(runtime, task)
    assert certificate["schedule"] == "messages"
    assert (certificate["groups"], certificate["subjects"]) == (["content"], [world.ann])
    assert len(certificate["keys"]) == 1
    assert destroy_due(then, "acme") == []

    catch_up()
    reader, gone = Reader(runtime), {"redacted": "erased", "certificate": task.id}
    assert reader.customer("acme", world.ann)["profile"]["full_name"] == "Ann Canary"
    history = reader.history("acme", world.ann).items
    assert [e["data"]["message"] for e in history if "message" in e["data"]] == [gone]
    assert history[-1]["type"] == "rights.data_expired.v1"
    assert reader.changes("acme", "customer_view", after=0).items[-1]["id"] == world.ann


def test_a_group_that_has_expired_takes_nothing_more_and_the_others_do(runtime, world):
    then = at(runtime, 900)
    agree(then, MESSAGES)
    destroy_due(then, "acme")
    message = RecordInteraction(customer=ANN, channel="web", kind="visit", message="again")
    refused = world.ask(message)
    assert (refused.status, refused.code) == ("rejected", "customer.data_expired")
    assert "content" in refused.sentence
    assert world.ask(message.model_copy(update={"message": ""})).status == "accepted"
    assert world.ask(ChangeProfile(customer=ANN, full_name="Anna")).status == "accepted"


def test_when_all_groups_are_due_the_customer_is_forgotten_with_all_its_ids(
    runtime, world, catch_up
):
    then = at(runtime, 5000)
    agree(then, PEOPLE)
    [task] = destroy_due(then, "acme")
    assert len(task.subjects) == 3
    assert living(runtime, world.bob) == living(runtime, world.ann) == set()
    assert owner(runtime, BOB) is None
    catch_up()
    gone = {"redacted": "erased", "certificate": task.id}
    assert Reader(runtime).customer("acme", world.bob)["profile"]["full_name"] == gone
    assert told(runtime, task)["scan"]["words"] >= 4
    assert world.ask(RegisterCustomer(customer=BOB)).status == "accepted"
    assert owner(runtime, BOB) not in (None, world.bob)


def test_contact_data_that_expired_leads_to_nobody_any_more(runtime, world, catch_up):
    then, contact = at(runtime, 900), MESSAGES.model_copy(update={"groups": ("contact",)})
    agree(then, contact)
    [task] = destroy_due(then, "acme")
    catch_up()
    assert owner(runtime, ANN) is None
    shown = Reader(runtime).customer("acme", world.ann)
    assert shown["identifiers"][0]["value"] == {"redacted": "erased", "certificate": task.id}
    assert shown["profile"]["full_name"] == "Ann Canary"


DAY = timedelta(days=1)
DESK, SHOP = ByExternalId(system="desk", id="1"), ByExternalId(system="shop", id="1")
CONSENT = {"customer": ANN, "purpose": "news", "channel": "email", "text_version": "1"}


@pytest.mark.parametrize(
    ("trigger", "purpose", "begins", "ends"),
    [
        (
            "cases_closed",
            None,
            [OpenCase(case=DESK, customer=ANN, channel="web", title="canary")],
            [ResolveCase(case=DESK, resolution="done"), CloseCase(case=DESK)],
        ),
        (
            "leads_lost",
            None,
            [CaptureLead(lead=SHOP, customer=ANN, source="web")],
            [LoseLead(lead=SHOP, reason="price")],
        ),
        (
            "consent_withdrawn",
            "news",
            [GrantConsent(**CONSENT), GrantConsent(**CONSENT | {"purpose": "newsreel"})],
            [WithdrawConsent(**CONSENT)],
        ),
    ],
)
def test_each_trigger_sets_its_clock_when_nothing_goes_on(
    runtime, world, catch_up, trigger, purpose, begins, ends
):
    rule = Schedule(
        name="x", groups=("content",), trigger=trigger, purpose=purpose, period="30 days"
    )
    far = world.now + 400 * DAY

    def due():
        catch_up()
        return [(d.customer, d.due_at) for d in schedules.due_by(runtime, "acme", rule, far)]

    assert due() == []
    for command in begins:
        assert world.ask(command).status == "accepted"
    assert due() == []
    for command in ends:
        assert world.ask(command).status == "accepted"
    assert due() == [(world.ann, world.now + 30 * DAY)]
    assert list(schedules.due_by(runtime, "acme", rule, world.now + 30 * DAY - DAY)) == []
    world.ask(begins[0].model_copy(update={"case": SHOP} if "case" in trigger else {}))
    if trigger == "leads_lost":
        world.ask(CaptureLead(lead=DESK, customer=ANN, source="web"))
    assert due() == []


# ---- What keeps it -------------------------------------------------------------------------------


def test_a_legal_hold_keeps_what_is_due_and_the_dry_run_says_so(runtime, world):
    then = at(runtime, 900)
    agree(then, MESSAGES)
    put(runtime, ALICE, world.ann, "claim")
    assert [d.kept for d in schedules.due_data(then, "acme", then.ports.now())] == ["legal hold"]
    assert destroy_due(then, "acme") == []
    assert "content" in living(runtime, world.ann)


def test_a_restriction_keeps_what_is_due_and_the_dry_run_says_so(runtime, world, catch_up):
    then = at(runtime, 900)
    agree(then, MESSAGES)
    rights.restrict(then, ALICE, world.ann, "claims")
    catch_up()
    then = at(runtime, 5000)
    kept = {d.customer: d.kept for d in schedules.due_data(then, "acme", then.ports.now())}
    assert kept == {world.ann: "restricted", world.bob: None}
    assert "content" in living(runtime, world.ann)


def test_it_is_destroyed_by_itself(runtime, world):
    then, stop = at(runtime, 900), threading.Event()
    agree(then, MESSAGES)
    loop = threading.Thread(target=expiring.expire, args=(then, stop))
    loop.start()
    give_up = time.monotonic() + 30
    while "content" in living(runtime, world.ann) and time.monotonic() < give_up:
        time.sleep(0.02)
    stop.set()
    loop.join()
    assert living(runtime, world.ann) == {"identity", "contact"}


def test_a_schedule_on_hold_destroys_nothing(runtime, world):
    then = at(runtime, 900)
    agree(then, MESSAGES.model_copy(update={"hold": "litigation"}))
    assert [d.kept for d in schedules.due_data(then, "acme", then.ports.now())] == ["litigation"]
    assert destroy_due(then, "acme") == []


def test_whoever_did_something_just_now_is_left_for_the_next_time(runtime, world, catch_up):
    then, case = at(runtime, 900), ByExternalId(system="desk", id="1")
    rule = MESSAGES.model_copy(update={"trigger": "cases_closed"})
    world.ask(OpenCase(case=case, customer=ANN, channel="web", title="canary"), at=NOON)
    world.ask(CloseCase(case=case), at=NOON + DAY)
    catch_up()
    agree(then, rule)
    world.ask(OpenCase(case=ByExternalId(system="desk", id="2"), customer=ANN, channel="web"))
    [due] = schedules.due_data(then, "acme", then.ports.now())
    assert due.kept == "something just happened"
    assert destroy_due(then, "acme") == []
    catch_up()
    assert list(schedules.due_data(then, "acme", then.ports.now())) == []


# ---- Four eyes, crashes, backups -----------------------------------------------------------------


def test_nobody_sets_schedules_alone(runtime, world):
    asked = schedules.ask(runtime, ALICE, [MESSAGES])
    with pytest.raises(Rejected) as no:
        schedules.set_schedules(runtime, "acme", asked.id)
    assert no.value.code == "request.not_approved"
    with pytest.raises(Rejected) as no:
        Approvals(runtime.pool).approve(ALICE, asked.id, asked.digest)
    assert no.value.code == "request.same_person"
    assert schedules.held(runtime, "acme").schedules == ()
    assert schedules.tenants(runtime.pool) == []
    with pytest.raises(Rejected) as no:
        agree(runtime, MESSAGES, MESSAGES)
    assert no.value.code == "schedule.twice"


def test_what_was_interrupted_is_finished_the_next_time(runtime, world, monkeypatch):
    then = at(runtime, 900)
    agree(then, MESSAGES)

    def crash(*_):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr("infra.privacy.erasure.scan", crash)
        with pytest.raises(RuntimeError):
            destroy_due(then, "acme")
    assert "content" not in living(runtime, world.ann)
    [task] = destroy_due(then, "acme")
    assert told(runtime, task)["subjects"] == [world.ann]
    assert destroy_due(then, "acme") == []


def test_a_restored_backup_forgets_the_same_groups_again(runtime, world):
    then = at(runtime, 900)
    agree(then, MESSAGES)
    with runtime.pool.connection() as conn:
        backup = conn.execute("SELECT to_jsonb(k) FROM crm_keys.data_key k").fetchall()
    destroy_due(then, "acme")
    with runtime.pool.connection() as conn, conn.transaction():
        conn.execute("DELETE FROM crm_keys.data_key")
        for (row,) in backup:
            table = "crm_keys.data_key"
            query = f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, %s)"
            conn.execute(query, [orjson.dumps(row).decode()])
    with pytest.raises(ErasuresMissing), open_runtime(runtime.settings):
        pass
    with open_runtime(runtime.settings, erased=False) as restored:
        assert reapply(restored) == 1
        assert living(restored, world.ann) == {"identity", "contact"}
    with open_runtime(runtime.settings):
        pass


def test_many_customers_share_certificates(runtime, world, catch_up, monkeypatch):
    monkeypatch.setattr(expiring, "AT_ONCE", 2)
    world.now = NOON
    for number in range(4):
        someone = ByExternalId(system="many", id=str(number))
        world.ask(RecordInteraction(customer=someone, channel="web", kind="v", message="x"))
    catch_up()
    then = at(runtime, 900)
    agree(then, MESSAGES)
    assert [len(task.subjects) for task in destroy_due(then, "acme")] == [2, 2, 1]
