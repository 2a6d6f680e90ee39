"""Requests of persons: each is a case with the law's clock, until it is carried out."""

from dataclasses import replace
from datetime import timedelta

import pytest

from commands.agreements import DefineAgreement
from commands.cases import CloseCase, MatchAgreement
from commands.command import ByEmail
from commands.customers import RegisterCustomer
from commands.ports import Who
from consumers.timers import fire
from domain.privacy_request import due as by_law
from domain.rejected import Rejected
from infra.approvals import Approvals
from infra.ids import uuid7
from infra.privacy import rights
from infra.privacy.access_bundle import write_bundle
from infra.privacy.erasure import ask, erase
from infra.privacy.holds import put
from infra.privacy.requests import extend, open_request, requests
from infra.read_models.due import DueCases
from infra.read_models.reader import Reader
from tests.strategies import DESK, EVERYTHING
from tests.world import NOON, World

ANN = ByEmail(email="ann.canary@example.org")
OFFICER, OTHER = Who("acme", "cli:officer"), Who("acme", "cli:other")
DAY = timedelta(days=1)


@pytest.fixture
def now(runtime):
    """The runtime, as of any day after everything began."""

    def at(days):
        ports = runtime.ports._replace(now=lambda: NOON + days * DAY)
        return replace(runtime, ports=ports)

    return at


@pytest.fixture
def ann(runtime, catch_up):
    world = World(runtime.store)
    promise = {"agreement": DESK, "promise": EVERYTHING, "applies_from": NOON - 9 * DAY}
    world.ask(DefineAgreement(**promise))
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann Canary"))
    catch_up()
    return runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]


def listed(runtime, days, **which):
    return list(requests(runtime, "acme", NOON + days * DAY, **which))


def test_a_request_is_a_case_under_the_law_whatever_was_agreed(now, ann, catch_up):
    received = NOON + DAY
    first = open_request(now(20), OFFICER, ann, "access", received=received, channel="letter")
    second = open_request(now(20), OFFICER, ann, "objection", "ccpa")
    catch_up()
    one, two = listed(now(20), 20)
    assert (one.id, one.kind, one.law, one.received_at) == (first, "access", "gdpr", received)
    assert one.due_at == by_law("gdpr", received)
    assert (two.id, two.due_at) == (second, NOON + 65 * DAY)
    assert not one.overdue
    assert [each.overdue for each in listed(now(20), 40)] == [True, False]
    case = Reader(now(20)).case("acme", first)
    assert (case["category"], case["channel"]) == ("privacy request: access", "letter")
    assert "anary" not in str(listed(now(20), 20))


def test_the_clock_warns_and_breaches_like_any_other(now, ann, catch_up):
    case = open_request(now(1), OFFICER, ann, "access")
    catch_up()
    late = now(60)
    cases = DueCases(late.pool, "sla_clocks")
    for _ in range(2):
        assert fire(cases, late.ports).fired == 1
        catch_up()
    history = Reader(late).history("acme", ann).items
    marks = [e["data"]["mark"] for e in history if e["type"] == "case.mark_reached.v1"]
    assert marks == ["warned:75%", "breached"]
    assert listed(late, 60)[0].id == case


def test_carrying_it_out_resolves_what_was_asked_and_nothing_else(now, ann, catch_up, tmp_path):
    then = now(3)
    access = open_request(then, OFFICER, ann, "access")
    portable = open_request(then, OFFICER, ann, "portability")
    limit = open_request(then, OFFICER, ann, "restriction")
    other = open_request(then, OFFICER, ann, "rectification")
    write_bundle(then, "acme", [ann], tmp_path / "ann", "cli:officer")
    catch_up()
    assert {each.id for each in listed(then, 4)} == {limit, other}
    rights.restrict(then, OFFICER, ann, "accuracy")
    catch_up()
    assert [each.id for each in listed(then, 4)] == [other]  # shown although restricted
    done = {each.id: each for each in listed(then, 400, done=True)}
    assert not done[access].overdue
    assert (done[portable].status, done[limit].status) == ("resolved", "resolved")


def test_what_is_done_unasked_is_a_case_as_well(now, ann, catch_up):
    rights.object_to(now(3), OFFICER, ann, "profiling")
    catch_up()
    [done] = listed(now(3), 3, done=True)
    assert (done.kind, done.status) == ("objection", "resolved")


def test_an_erasure_is_a_case_until_the_keys_are_gone(now, ann, catch_up):
    then = now(3)
    asked = ask(then, OFFICER, ann, "she asked", "ccpa")
    catch_up()
    [open_] = listed(then, 3)
    assert (open_.id, open_.kind, open_.law) == (asked.id, "erasure", "ccpa")
    Approvals(then.pool).approve(OTHER, asked.id, asked.digest)
    put(then, OFFICER, ann, "lawsuit")
    assert erase(then, "acme", asked.id).state == "held"
    catch_up()
    assert [each.id for each in listed(then, 4)] == [asked.id]
    with then.pool.connection() as conn:
        conn.execute("DELETE FROM crm.hold")
    assert erase(then, "acme", asked.id).state == "done"
    catch_up()
    assert listed(then, 4) == []


def test_the_longer_time_is_taken_once_and_in_time(now, ann, catch_up):
    case = open_request(now(0), OFFICER, ann, "access")
    catch_up()
    for _ in range(2):
        extend(now(20), OFFICER, case, "many systems")
        catch_up()
    [one] = listed(now(20), 20)
    assert (one.due_at, one.extended) == (by_law("gdpr", NOON, extended=True), True)
    late = open_request(now(1), OFFICER, ann, "portability")
    catch_up()
    for id_, days, code in (
        (late, 40, "privacy_request.late"),
        (ann, 2, "privacy_request.unknown"),
    ):
        with pytest.raises(Rejected) as no:
            extend(now(days), OFFICER, id_, "slow")
        assert no.value.code == code


def test_nobody_can_take_a_request_from_under_the_law(now, ann, catch_up):
    case = open_request(now(1), OFFICER, ann, "access")
    world = World(now(1).store)
    world.now = NOON + 2 * DAY
    refused = world.ask(MatchAgreement(case=case), uuid7())
    assert (refused.status, refused.code) == ("rejected", "case.under_law")
    assert world.ask(CloseCase(case=case), uuid7()).status == "accepted"
    catch_up()
    assert [each.overdue for each in listed(now(1), 99)] == [True]  # closed, and not done


def test_what_cannot_be_asked_is_refused(now, ann):
    with pytest.raises(Rejected) as no:
        open_request(now(1), OFFICER, "00000000-0000-0000-0000-00000000dead", "access")
    assert no.value.code == "customer.unknown"
    with pytest.raises(Rejected) as no:
        open_request(now(1), OFFICER, ann, "access", received=NOON + 9 * DAY)
    assert no.value.code == "time.future"
