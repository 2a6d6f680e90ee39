"""The wall, the queue, compliance and reviews, on a desk whose every figure can be told by hand."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest

from commands.agreements import ReviewAgreement, ReviseAgreement
from commands.cases import (
    AssignCase,
    CloseCase,
    LinkCase,
    MatchAgreement,
    NoteAgentAnswer,
    OpenCase,
    ResolveCase,
    WaitWithCase,
)
from commands.command import ByExternalId, stream_id
from commands.customers import AssignTier, MergeCustomer
from commands.execute import execute
from commands.ports import Request, Who
from domain.terms import ClockRule
from infra.read_models.sla import scaled
from projections.sla_review import as_markdown
from projections.sla_service import GROUPS, compliance
from tests.desk import ANN, GOLD, HOUR, MINUTE, PROMISE, START, case, opened

BOB = ByExternalId(system="shop", id="bob")
EVE = ByExternalId(system="shop", id="eve")


@pytest.fixture
def desk(runtime, catch_up):
    return opened(runtime, catch_up)


def open_case(desk, number, customer=ANN, **more) -> str:
    command = OpenCase(case=case(number), customer=customer, channel="email", **more)
    assert desk.ask(command) == "accepted"
    return stream_id("acme", "case", case(number))


def rows(desk, query):
    return desk.rows(query)


def test_the_wall_shows_what_breaks_next_and_what_is_paused_last(desk):
    desk.now = START + HOUR
    urgent = open_case(desk, 2, priority="urgent")
    paused = open_case(desk, 3)
    desk.ask(WaitWithCase(case=case(3), waiting_for="customer"))
    done = open_case(desk, 4)
    desk.ask(ResolveCase(case=case(4)))
    wall = desk.sla.wall("acme", at=START + 2.5 * HOUR)
    shown = [(row["verdict"], row["seconds_left"]) for row in wall]
    assert shown == [("breached", -1800.0), ("running", 5400.0), ("paused", None)]
    assert [row["case_id"] for row in wall][::2] == [urgent, paused]
    assert wall[2]["waiting_for"] == "customer"
    assert done not in [row["case_id"] for row in wall]
    assert desk.sla.wall("other", at=START) == []


def test_the_queue_is_by_tier_then_time_to_breach_then_age_and_says_why(desk):
    desk.ask(AssignTier(customer=BOB, tier="platinum"))
    desk.now = START + HOUR
    plain = open_case(desk, 2, EVE, priority="urgent")
    gold_urgent = open_case(desk, 3, priority="urgent")
    platinum = open_case(desk, 4, BOB, priority="low")
    queue = desk.sla.queue("acme", at=START + 3 * HOUR)
    assert [row["case_id"] for row in queue][:2] == [platinum, gold_urgent]
    assert queue[3]["case_id"] == plain
    assert [row["place"] for row in queue] == [1, 2, 3, 4]
    assert queue[0]["reason"].startswith("tier platinum has rank 1; due by")
    assert "late since" in queue[1]["reason"]
    assert queue[3]["reason"].startswith("no tier that goes first")
    assert desk.sla.place("acme", platinum, at=START)["place"] == 1
    assert desk.sla.place("acme", plain, at=START)["place"] == 4


def test_a_customer_who_was_merged_waits_as_the_one_that_stands_for_it(desk):
    desk.ask(AssignTier(customer=BOB, tier="platinum"))
    plain = open_case(desk, 2, EVE)
    assert desk.sla.place("acme", plain)["place"] == 2
    assert desk.ask(MergeCustomer(customer=EVE, into=BOB, reason="same person")) == "accepted"
    assert desk.sla.place("acme", plain)["place"] == 1
    assert desk.sla.place("acme", plain)["tier"] == "platinum"


def story(desk) -> None:
    """Met after 1 h and 2 h, breached after 5 h, forgotten, cancelled, and one still open."""
    for number in range(2, 7):
        open_case(desk, number, category="billing" if number < 4 else "general")
    desk.ask(AssignCase(case=case(1), agent="Kim", team="first"))
    desk.now = START + HOUR
    desk.ask(ResolveCase(case=case(1)))
    desk.ask(WaitWithCase(case=case(4), waiting_for="customer"))
    desk.ask(CloseCase(case=case(5)))
    desk.now = START + 2 * HOUR
    desk.ask(ResolveCase(case=case(2)))
    desk.now = START + 5 * HOUR
    desk.ask(ResolveCase(case=case(3)))
    desk.now = START + 30 * HOUR
    desk.ask(ResolveCase(case=case(4)))


def test_compliance_counts_every_promise_once(desk):
    story(desk)
    [total] = desk.sla.compliance("acme", at=START + 3 * HOUR)
    counted = {name: total[name] for name in ("promises", "met", "breached", "forgotten", "open")}
    assert counted == {"promises": 6, "met": 2, "breached": 1, "forgotten": 1, "open": 1}
    assert (total["cancelled"], total["without_target"]) == (1, 0)
    assert total["kept_percent"] == 50.0
    assert total["median_seconds"] == 1.5 * 3600  # of 1 h, 2 h, 5 h and 1 h
    assert total["p90_seconds"] == pytest.approx((2 + 0.7 * 3) * 3600)


def test_a_verdict_does_not_depend_on_when_it_is_asked_for(desk):
    story(desk)
    early, late = (desk.sla.compliance("acme", at=START + n * HOUR)[0] for n in (3, 1000))
    for name in ("met", "breached", "forgotten"):
        late_by_one = late[name] - early[name]
        assert late_by_one == (1 if name == "breached" else 0), "only what still runs can break"


def test_every_grouping_adds_up_to_the_whole(desk):
    story(desk)
    sla = desk.sla
    for group in GROUPS:
        rows_of = sla.compliance("acme", group_by=group, at=START + 3 * HOUR)
        assert sum(row["promises"] for row in rows_of) == 6
        assert sum(row["met"] for row in rows_of) == 2
        assert len(rows_of) == (2 if group in ("category", "team") else 1)


def test_another_grouping_is_refused():
    with pytest.raises(ValueError, match="grouped by agreement"):
        compliance("agent; DROP TABLE")


# ---- Versions and reviews ------------------------------------------------------------------------


def test_a_case_keeps_the_version_that_it_was_matched_with(desk):
    revised = PROMISE.model_copy(update={"terms": scaled(PROMISE.terms, 0.5)})
    desk.now = START + HOUR
    revise = ReviseAgreement(
        agreement=GOLD, promise=revised, applies_from=START + 2 * HOUR, reason="asked for"
    )
    assert desk.ask(revise) == "accepted"
    before = open_case(desk, 2)
    desk.now = START + 3 * HOUR
    after = open_case(desk, 3)
    due = {
        key: (version, deadline)
        for key, version, deadline in rows(
            desk, "SELECT key, agreement_version, resolution_due FROM read.sla_clocks"
        )
    }
    assert due[before] == (1, START + 5 * HOUR)
    assert due[after] == (2, START + 5 * HOUR)
    assert desk.ask(MatchAgreement(case=case(2))) == "accepted"
    [(version, deadline)] = rows(
        desk,
        f"SELECT agreement_version, resolution_due FROM read.sla_clocks WHERE key = '{before}'",
    )
    assert (version, deadline) == (2, START + 3 * HOUR), "and the two hours used stay used"


def test_a_dry_run_says_what_would_have_been_and_changes_nothing(desk):
    story(desk)
    at = START + 3 * HOUR
    same = desk.sla.what_if("acme", PROMISE.terms, at=at)["resolution"]
    assert same == {
        "met": 2, "breached": 1, "forgotten": 1, "open": 1, "cancelled": 1, "no target": 0
    }  # fmt: skip
    half = desk.sla.what_if("acme", scaled(PROMISE.terms, 0.25), at=at)["resolution"]
    assert (half["met"], half["breached"]) == (1, 3)
    generous = desk.sla.what_if("acme", scaled(PROMISE.terms, 2), at=at)["resolution"]
    assert (generous["met"], generous["breached"]) == (3, 0)
    assert desk.sla.compliance("acme", at=at)[0]["met"] == 2


def test_the_review_tells_what_was_promised_kept_and_paid(desk):
    story(desk)
    desk.fire_all()
    [(key,)] = rows(desk, "SELECT key FROM read.agreements")
    report = desk.sla.review("acme", key, START + 3 * HOUR)
    assert report["promised"] == {"resolution": {"normal": "4h", "urgent": "1h"}}
    assert report["cost"][0]["owed"] == 8_000, "two breaches, capped"
    assert report["what_if"]["targets times 1.0"]["resolution"]["met"] == 2
    assert json.loads(json.dumps(report)) == report
    written = as_markdown(report)
    assert "# Gold, version 1" in written
    assert "| resolution | 2 | 1 | 1 | 1 | 50.0 % | 1h 30m |" in written
    assert "| 2024-01 | 80.00 EUR | 0.00 EUR |" in written
    assert desk.sla.review("acme", "00000000-0000-4000-8000-000000000000") is None
    assert desk.sla.review("other", key) is None


def test_a_review_moves_the_date_of_the_next_one(desk):
    def due():
        return rows(desk, "SELECT review_due FROM read.agreements")[0][0]

    assert due() == START + timedelta(days=90)
    desk.now = START + timedelta(days=80)
    desk.ask(ReviewAgreement(agreement=GOLD, outcome="all well"))
    assert due() == START + timedelta(days=170)


def test_a_cell_cannot_break_out_of_its_table():
    report = {
        "title": "A | B", "version": 1, "objective": "", "since": None, "as_of": None,
        "services": [],
        "parties": [], "promised": {"x\n| y": {"low": "1"}}, "kept": [], "cost": [],
        "what_if": {}, "next_review": None,
    }  # fmt: skip
    assert "| x \\| y | low | 1 |" in as_markdown(report)


# ---- Late and out of order -----------------------------------------------------------------------


def test_the_order_in_which_events_are_learned_of_makes_no_difference(desk):
    first, second = open_case(desk, 2), open_case(desk, 3)
    desk.now = START + 9 * HOUR

    def tell(number, command, hours):
        request = Request(command, str(uuid4()), time=START + hours * HOUR)
        assert execute([request], Who("acme", "tests"), desk.ports)[0].status == "accepted"

    wait = {n: WaitWithCase(case=case(n), waiting_for="customer") for n in (2, 3)}
    answer = {n: NoteAgentAnswer(case=case(n), agent="Kim") for n in (2, 3)}
    assign = {n: AssignCase(case=case(n), agent="Kim") for n in (2, 3)}
    for command, hours in ((wait, 1), (answer, 2), (assign, 3)):
        tell(2, command[2], hours)
    for command, hours in ((assign, 3), (answer, 2), (wait, 1)):
        tell(3, command[3], hours)
    desk.catch_up()
    shown = dict(rows(desk, "SELECT key, clocks FROM read.sla_clocks"))
    assert shown[first] == shown[second]


def test_a_case_told_to_be_a_duplicate_is_off_the_wall(desk):
    open_case(desk, 2)
    assert len(desk.sla.wall("acme", at=START)) == 2
    desk.ask(LinkCase(case=case(2), other=case(1), relation="duplicates"))
    assert len(desk.sla.wall("acme", at=START + MINUTE)) == 1


def test_scaled_terms_keep_everything_but_the_targets():
    half = scaled(PROMISE.terms, 0.5)
    assert half.clocks[0].targets == {"normal": 2 * HOUR, "urgent": 0.5 * HOUR}
    assert isinstance(half.clocks[0], ClockRule)
    assert half.calendar == PROMISE.terms.calendar
