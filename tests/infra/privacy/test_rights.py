"""Restriction and objection: nothing of the customer is shown or scored, wherever one looks."""

from datetime import timedelta

import orjson
import pytest

from commands.churn_alerts import RaiseChurnAlert
from commands.command import ByExternalId
from commands.customers import (
    ChangeProfile,
    GrantConsent,
    MergeCustomer,
    RecordPurchase,
    RegisterCustomer,
)
from commands.interactions import RecordInteraction
from commands.leads import CaptureLead
from commands.ports import Who
from commands.retention import AssignSegment
from consumers import retention as keeping
from domain.rejected import Rejected
from domain.rights import GROUNDS
from infra.audit.export import export
from infra.audit.replay import Instants, replay
from infra.kafka.announced import changed_of
from infra.privacy import rights
from infra.privacy.consents import consent, must_consent
from infra.read_models.customer_features import current
from infra.read_models.due import DueCases
from infra.read_models.reader import Reader
from infra.read_models.retention import open_alerts
from infra.read_models.sla import SlaReader
from infra.seeing import seeing_held
from projections.catalogue import ALL
from tests.strategies import PROLOGUE, UUIDS
from tests.world import NOON, World

ANN, BOB = UUIDS[:2]
OFFICER = Who("acme", "cli:officer")
FAR = NOON + timedelta(days=3000)


@pytest.fixture
def world(runtime, catch_up):
    """Ann is in every read model; Bob is a customer, too."""
    world = World(runtime.store)
    world.now += timedelta(days=1)
    world.ask_all([(each, "", None) for each in PROLOGUE])
    for command in (
        ChangeProfile(customer=ANN, full_name="Ann Canary"),
        RecordInteraction(customer=ANN, channel="web", kind="visit", message="canary"),
        RecordPurchase(customer=ANN, amount={"amount": 100, "currency": "EUR"}),
        RecordInteraction(customer=BOB, channel="web", kind="visit", message="hello"),
    ):
        assert world.ask(command).status == "accepted"
    catch_up()
    return world


def rows_of(runtime, subject):
    """How many rows of each read model are about a customer, as queries find them."""
    with runtime.pool.connection() as conn:
        return {
            each.name: conn.execute(
                f"SELECT count(*) FROM read.{each.name} WHERE {each.subject} = %s", [subject]
            ).fetchone()[0]
            for each in ALL
            if each.subject
        }


def everything(runtime):
    """What every question about customers, leads and cases answers."""
    reader, sla = Reader(runtime), SlaReader(runtime.pool)
    case, lead = (runtime_id(runtime, kind) for kind in ("case", "lead"))
    listings = [
        reader.customers("acme"), reader.leads("acme"), reader.cases("acme", at=FAR),
        reader.churn_alerts("acme", at=FAR), reader.history("acme", ANN),
    ]  # fmt: skip
    return [
        *(listing.items for listing in listings if listing),
        reader.customer("acme", ANN), reader.customer("acme", ANN, recorded_at=FAR),
        reader.lead("acme", lead), reader.lead_as_of("acme", lead, recorded_at=FAR),
        reader.case("acme", case), reader.case_as_of("acme", case, effective_at=FAR),
        reader.pipeline_summary("acme"), reader.sla_summary("acme"),
        sla.wall("acme", at=FAR), sla.queue("acme"), sla.compliance("acme", at=FAR),
        replay(runtime, "acme", ANN, Instants(known=FAR)),
        [each._asdict() for each in current(runtime.pool, "acme", FAR)],
        open_alerts(runtime.pool, "acme"),
        [reader.changes("acme", each.name, limit=999).items for each in ALL],
    ]  # fmt: skip


def runtime_id(runtime, kind):
    types = {"case": "case.opened.v1", "lead": "lead.captured.v1"}
    with runtime.pool.connection() as conn:
        query = "SELECT stream FROM crm.event WHERE subject = %s AND type = %s"
        return conn.execute(query, [ANN, types[kind]]).fetchone()[0]


def told(answers):
    return orjson.dumps(answers, default=str).decode()


# ---- Restriction ---------------------------------------------------------------------------------


def test_a_restricted_customer_is_in_no_row_of_any_read_model(runtime, world, catch_up):
    before = rows_of(runtime, ANN)
    assert all(before.values()), before  # else it would prove nothing
    assert len(before) == len(ALL) - 1  # agreements are about the organisation
    others = rows_of(runtime, BOB)
    rights.restrict(runtime, OFFICER, ANN, "accuracy")
    assert set(rows_of(runtime, ANN).values()) == {0}  # at once: no follower has moved
    catch_up()
    assert set(rows_of(runtime, ANN).values()) == {0}
    before["sla_clocks"] += 1  # the request to restrict is a case itself
    with seeing_held():
        assert rows_of(runtime, ANN) == before
    assert rows_of(runtime, BOB) == others
    rights.lift(runtime, OFFICER, ANN, "accuracy")
    assert rows_of(runtime, ANN) == before


def test_no_question_is_answered_with_a_restricted_customer(runtime, world, catch_up):
    ids = [ANN, runtime_id(runtime, "case"), runtime_id(runtime, "lead")]
    before = told(everything(runtime))
    assert "Canary" in before
    assert all(id_ in before for id_ in ids)
    rights.restrict(runtime, OFFICER, ANN, "unlawful")
    catch_up()
    after = everything(runtime)
    *questions, feeds = after
    assert "anary" not in told(after)
    assert not [id_ for id_ in ids if id_ in told(questions)]
    removed = {row["id"] for feed in feeds for row in feed if row.get("removed")}
    assert removed >= set(ids)
    assert not [r for feed in feeds for r in feed if r["id"] in ids and not r.get("removed")]
    with seeing_held():
        assert "Canary" in told(everything(runtime))


def test_a_follower_of_a_feed_drops_the_rows_and_gets_them_back(runtime, world, catch_up):
    reader = Reader(runtime)
    for each in ALL:
        if each.subject is None:
            continue
        copy, place = {}, 0

        def follow(name=each.name, copy=copy):
            nonlocal place
            caught_up = False
            while not caught_up:
                page = reader.changes("acme", name, after=place, limit=2)
                for row in page.items:
                    copy.pop(row["id"], None)
                    if not row.get("removed"):
                        copy[row["id"]] = {n: v for n, v in row.items() if n != "position"}
                place, caught_up = page.next, page.caught_up

        follow()
        whole = dict(copy)
        mine = {id_ for id_, row in whole.items() if ANN in (id_, row.get("customer"))}
        assert mine
        rights.restrict(runtime, OFFICER, ANN, "claims")
        catch_up()
        follow()
        assert copy.keys() == whole.keys() - mine
        rights.lift(runtime, OFFICER, ANN, "claims")
        catch_up()
        follow()
        assert copy == whole


def test_a_compacted_topic_gets_tombstones_and_then_the_rows_again(runtime, world, catch_up):
    table, head = runtime.tables["sales_pipeline"], catch_up()

    def announced(after):
        arguments = {**table.arguments, "after": after, "upto": catch_up(), "limit": 99}
        with runtime.pool.connection() as conn:
            return [(key, row is None) for _, key, _, row in
                    conn.execute(changed_of(table), arguments)]  # fmt: skip

    lead = runtime_id(runtime, "lead")
    assert announced(head) == []
    rights.restrict(runtime, OFFICER, ANN, "accuracy")
    assert announced(head) == [(lead, True)]
    assert (lead, False) not in announced(0)
    head = catch_up()
    world.ask(CaptureLead(lead=ByExternalId(system="x", id="y"), customer=ANN, source="web"))
    assert announced(head) == []
    rights.lift(runtime, OFFICER, ANN, "accuracy")
    back = announced(head)
    assert (lead, False) in back
    assert len(set(back)) == 2
    assert not [key for key, gone in back if gone]


def test_every_ground_must_end_before_the_data_is_shown_again(runtime, world, catch_up):
    for ground in GROUNDS[:2]:
        rights.restrict(runtime, OFFICER, ANN, ground)
        rights.restrict(runtime, OFFICER, ANN, ground)
    assert rights.limited(runtime.pool, "acme", 9) == [(ANN, list(GROUNDS[:2]), [])]
    rights.lift(runtime, OFFICER, ANN, GROUNDS[0])
    assert Reader(runtime).customer("acme", ANN) is None
    rights.lift(runtime, OFFICER, ANN, GROUNDS[1])
    assert Reader(runtime).customer("acme", ANN) is not None
    assert rights.limited(runtime.pool, "acme", 9) == []


def test_the_data_is_still_stored_and_the_clocks_of_cases_still_run(runtime, world, catch_up):
    rights.restrict(runtime, OFFICER, ANN, "accuracy")
    assert world.ask(ChangeProfile(customer=ANN, full_name="Anna Canary")).status == "accepted"
    catch_up()
    due = DueCases(runtime.pool, "sla_clocks").look(FAR, [], 10)
    assert runtime_id(runtime, "case") in [case.case for case in due]
    with seeing_held():
        shown = Reader(runtime).customer("acme", ANN)
    assert shown["profile"]["full_name"] == "Anna Canary"


def test_all_ids_of_a_customer_are_restricted_and_found(runtime, world, catch_up):
    other = ByExternalId(system="shop", id="7")
    world.ask(RegisterCustomer(customer=other, full_name="A. Canary"))
    world.ask(MergeCustomer(customer=other, into=ANN, reason="same"))
    catch_up()
    both = rights.restrict(runtime, OFFICER, ANN, "accuracy")
    assert len(both) == 2
    assert Reader(runtime).customers("acme").items[0]["id"] != ANN
    assert Reader(runtime).same_customer("acme", both[1]) == both  # whoever erases finds both
    assert rights.lift(runtime, OFFICER, both[1], "accuracy") == both


def test_what_cannot_be_restricted_or_lifted_is_refused(runtime, world):
    with pytest.raises(Rejected) as no:
        rights.restrict(runtime, OFFICER, UUIDS[3], "accuracy")
    assert no.value.code == "customer.unknown"
    with pytest.raises(Rejected) as no:
        rights.restrict(runtime, OFFICER._replace(tenant="other"), ANN, "accuracy")
    assert no.value.code == "customer.unknown"
    with pytest.raises(Rejected) as no:
        rights.lift(runtime, OFFICER, ANN, "legal_hold")
    assert no.value.code == "rights.legal_hold"


def test_views_from_before_there_were_restrictions_are_made_anew(runtime, world):
    rights.restrict(runtime, OFFICER, ANN, "accuracy")
    with runtime.pool.connection() as conn:
        conn.execute(
            "CREATE OR REPLACE VIEW read.customer_view AS SELECT * FROM read.customer_view_v1"
        )
    assert Reader(runtime).customer("acme", ANN)
    runtime.tables.create()
    assert Reader(runtime).customer("acme", ANN) is None


# ---- Objection -----------------------------------------------------------------------------------


def test_whoever_objects_to_profiling_is_out_of_the_next_batch(runtime, world, catch_up):
    sweep = keeping.Sweep(runtime, OFFICER, FAR, FAR)
    profiling = {each.name for each in ALL if each.profiles}
    assert ANN in [each.customer for each in sweep.customers()]
    rights.object_to(runtime, OFFICER, ANN, "profiling")
    assert [each.customer for each in sweep.customers() if each.customer == ANN] == []
    assert [each for each in current(runtime.pool, "acme", FAR) if each.customer == ANN] == []
    assert open_alerts(runtime.pool, "acme") == []
    assert Reader(runtime).churn_alerts("acme", at=FAR).items == []
    counts = rows_of(runtime, ANN)
    assert {name for name, count in counts.items() if not count} == profiling
    with seeing_held():
        assert {n for n, count in rows_of(runtime, ANN).items() if not count} == profiling
    rights.withdraw_objection(runtime, OFFICER, ANN, "profiling")
    assert all(rows_of(runtime, ANN).values())


@pytest.mark.parametrize("limit", ["restriction", "objection"])
def test_no_conclusion_about_such_a_customer_is_kept(runtime, world, limit):
    if limit == "objection":
        rights.object_to(runtime, OFFICER, ANN, "profiling")
    else:
        rights.restrict(runtime, OFFICER, ANN, "accuracy")
    expected = {"restriction": "rights.restricted", "objection": "rights.objection"}[limit]
    alert = next(each for each in PROLOGUE if isinstance(each, RaiseChurnAlert))
    for command in (
        alert.model_copy(update={"alert": UUIDS[2]}),
        AssignSegment(customer=ANN, segment="loyal", policy_version=1),
    ):
        verdict = world.ask(command)
        assert (verdict.status, verdict.code) == ("rejected", expected)


def test_an_objection_to_something_else_stops_no_profiling(runtime, world):
    rights.object_to(runtime, OFFICER, ANN, "marketing")
    assert all(rows_of(runtime, ANN).values())
    assert rights.limited(runtime.pool, "acme", 9) == [(ANN, [], ["marketing"])]


def test_nothing_is_sent_to_a_restricted_customer(runtime, world):
    said = ("acme", ANN, "news", "email")
    granted = {"customer": ANN, "purpose": "news", "channel": "email", "text_version": "v1"}
    world.ask(GrantConsent(**granted))
    assert must_consent(runtime, *said).granted
    rights.restrict(runtime, OFFICER, ANN, "accuracy")
    with pytest.raises(Rejected) as no:
        must_consent(runtime, *said)
    assert no.value.code == "rights.restricted"
    assert not consent(runtime, *said).granted
    with seeing_held():
        assert consent(runtime, *said).granted


def test_an_export_of_whom_only_the_hold_role_sees_says_so(runtime, world, catch_up, tmp_path):
    rights.restrict(runtime, OFFICER, ANN, "claims")
    catch_up()
    with pytest.raises(Rejected) as no:
        export(runtime, "acme", ANN, tmp_path / "nothing")
    assert no.value.code == "export.empty"
    assert not (tmp_path / "nothing").exists()
    with seeing_held():
        assert export(runtime, "acme", ANN, tmp_path / "ann").events > 0
