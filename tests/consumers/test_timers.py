"""What is due fires once, in time, and as the events say, however late one looks."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from commands.agreements import ReverseCredit
from commands.cases import AssignCase, NoteAgentAnswer, OpenCase, ResolveCase, WaitWithCase
from commands.execute import execute
from commands.ports import Request, Who
from consumers.service import running
from consumers.timers import fire, request_of
from domain.agreement import Escalation
from projections.catalogue import BY_NAME
from tests.desk import ANN, GOLD, HOUR, MINUTE, PROMISE, START, Desk, case, opened


@pytest.fixture
def desk(runtime, catch_up) -> Desk:
    return opened(runtime, catch_up)


def test_the_case_is_under_the_agreement_of_its_customers_tier(desk):
    [(matched, at)] = desk.events("case.agreement_matched")
    assert (matched.tier, matched.version, matched.reason) == ("gold", 1, "tier is gold")
    assert at == START


def test_nothing_fires_before_its_instant(desk):
    desk.now = START + 2 * HOUR
    assert desk.fire_all() == 0, "half of the target is used exactly, not more"
    desk.now += timedelta(microseconds=1)
    assert desk.fire_all() == 1
    assert desk.marks() == [("warned:50%", START + 2 * HOUR)]


def test_everything_follows_from_a_late_look_at_the_instants_when_it_was_due(desk):
    desk.now = START + 100 * HOUR
    assert desk.fire_all() == 3
    assert desk.marks() == [
        ("warned:50%", START + 2 * HOUR),
        ("breached", START + 4 * HOUR),
        ("critical", START + 8 * HOUR),
    ]
    told = [event.recipient for event, _ in desk.events("case.notification_requested")]
    assert told == ["team lead", "director"]
    assert [(e.level, at) for e, at in desk.events("case.escalated")] == [
        (2, START + 4 * HOUR),
        (3, START + 8 * HOUR),
    ]
    assert [e.team for e, _ in desk.events("case.assigned")] == ["second"]


def test_an_escalation_to_a_team_takes_the_case_to_its_wall(runtime, catch_up):
    handed = (Escalation(on="breached", team="second"),)
    desk = opened(runtime, catch_up, PROMISE.model_copy(update={"escalations": handed}))
    assert desk.ask(AssignCase(case=case(1), agent="Kim", team="first")) == "accepted"
    desk.now = START + 5 * HOUR
    desk.fire_all()
    assert [e.team for e, _ in desk.events("case.handed_over")] == ["second"]
    assert desk.rows("SELECT agent, team FROM read.sla_clocks") == [(None, "second")]
    assert [row["team"] for row in desk.sla.wall("acme", at=desk.now, team="second")] == ["second"]
    assert desk.sla.wall("acme", at=desk.now, team="first") == []
    assert desk.ask(AssignCase(case=case(1), agent="Lee", team="second")) == "accepted"


def test_a_breach_earns_the_credit_up_to_the_cap_and_it_can_be_reversed(desk):
    assert desk.ask(OpenCase(case=case(2), customer=ANN, channel="email")) == "accepted"
    desk.now = START + 5 * HOUR
    desk.fire_all()
    earned = [event for event, _ in desk.events("credit.earned")]
    assert sorted(event.amount.amount for event in earned) == [3_000, 5_000]
    assert {event.period for event in earned} == {"2024-01"}
    back = ReverseCredit(
        agreement=GOLD, customer=ANN, period="2024-01", case=earned[0].case,
        clock="resolution", instance=1, reason="goodwill",
    )  # fmt: skip
    assert desk.ask(back) == "accepted"
    assert len(desk.events("credit.reversed")) == 1


def test_a_breach_that_was_resolved_before_anybody_looked_is_still_a_breach(desk):
    desk.now = START + 4 * HOUR + MINUTE
    assert desk.ask(ResolveCase(case=case(1))) == "accepted"
    assert desk.fire_all() == 1
    assert desk.marks() == [("breached", START + 4 * HOUR)]
    assert desk.events("case.escalated") == [], "but nobody is troubled for what is done"
    assert len(desk.events("credit.earned")) == 1


def test_a_pause_puts_off_what_was_due_and_is_not_forgotten(desk):
    desk.now = START + HOUR
    desk.ask(WaitWithCase(case=case(1), waiting_for="customer"))
    desk.now = START + 24 * HOUR
    assert desk.fire_all() == 0
    desk.now = START + 25 * HOUR + MINUTE
    assert desk.fire_all() == 1
    assert desk.marks() == [("forgotten", START + 25 * HOUR)]


def test_an_outdated_read_model_fires_nothing_and_loses_nothing(desk):
    desk.now = START + 3 * HOUR
    desk.catch_up()
    desk.ask(NoteAgentAnswer(case=case(1), agent="Kim"))
    assert fire(desk.due, desk.ports).fired == 0
    desk.catch_up()
    assert fire(desk.due, desk.ports).fired == 1


def test_looking_twice_without_catching_up_fires_once(desk):
    desk.now = START + 3 * HOUR
    desk.catch_up()
    assert [fire(desk.due, desk.ports).fired for _ in range(3)] == [1, 0, 0]


def test_a_mark_is_asked_for_under_the_same_id_each_time(desk):
    desk.now = START + 3 * HOUR
    desk.catch_up()
    looks = [desk.due.look(desk.now, [], 10) for _ in range(2)]
    asked = [request_of(case, desk.now) for look in looks for case in look]
    assert len(asked) == 2
    assert asked[0] == asked[1]


def test_many_timers_fire_once(desk):
    for number in range(2, 22):
        desk.ask(OpenCase(case=case(number), customer=ANN, channel="email"))
    desk.now = START + 3 * HOUR
    desk.catch_up()
    together = threading.Barrier(4)

    def timer() -> int:
        together.wait()
        return sum(fire(desk.due, desk.ports).fired for _ in range(3))

    with ThreadPoolExecutor(4) as threads:
        fired = [future.result() for future in [threads.submit(timer) for _ in range(4)]]
    assert sum(fired) == 21
    desk.catch_up()
    assert desk.fire_all() == 0
    assert [mark for mark, _ in desk.marks()] == ["warned:50%"] * 21


@pytest.mark.parametrize("jump", [timedelta(days=1), -timedelta(days=1)])
def test_a_jump_of_one_clock_fires_nothing_early_and_nothing_twice(runtime, catch_up, jump):
    """The database's clock is the true one here: targets end a moment from now."""
    desk = Desk(runtime, catch_up)
    desk.now = datetime.now(UTC)
    desk.ask(OpenCase(case=case(1), customer=ANN, channel="email", priority="urgent"))
    desk.now += jump
    assert desk.fire_all() == 0
    desk.now -= jump
    assert desk.fire_all() == 0


def test_rebuilt_rows_equal_the_live_ones_at_every_step(desk):
    projection = BY_NAME["sla_clocks"]

    def live() -> list:
        with desk.runtime.pool.connection() as conn:
            query = "SELECT to_jsonb(s) FROM read.sla_clocks s ORDER BY key"
            return [row for (row,) in conn.execute(query)]

    for hours in (1, 3, 5, 9):
        desk.now = START + hours * HOUR
        desk.ask(OpenCase(case=case(hours), customer=ANN, channel="email"))
        desk.fire_all()
        before = live()
        desk.runtime.tables[projection.name].drop()
        desk.runtime.tables[projection.name].create()
        desk.catch_up()
        assert live() == before


MANY = """
INSERT INTO read.sla_clocks (tenant, key, facts, events, status, next_due, breach_due, position)
SELECT 'many', gen_random_uuid(), '[]', 1, 'open', at, at, 0
FROM (SELECT now() + interval '1 day' + n * interval '1 s' FROM generate_series(1, %s) n) t (at)
"""


def test_a_running_service_fires_within_two_seconds_under_100_000_running_clocks(runtime):
    with runtime.pool.connection() as conn:
        conn.execute(MANY, [100_000])
    with running(runtime, roles=("sequencer", "follow", "timers")):
        since = datetime.now(UTC) - timedelta(minutes=30) + timedelta(seconds=1.5)
        command = OpenCase(case=case(1), customer=ANN, channel="email", priority="urgent")
        [verdict] = execute(
            [Request(command, str(uuid4()), time=since)], Who("acme", "tests"), runtime.ports
        )
        assert verdict.status == "accepted"
        query = """
            SELECT (convert_from(envelope, 'utf8')::json->>'recordedtime')::timestamptz
            FROM crm.event WHERE type = 'case.mark_reached.v1'
        """
        deadline = time.monotonic() + 10
        found = None
        while found is None and time.monotonic() < deadline:
            time.sleep(0.05)
            with runtime.pool.connection() as conn:
                found = conn.execute(query).fetchone()
    assert found is not None
    late = found[0] - (since + timedelta(minutes=30))
    assert timedelta(0) < late < timedelta(seconds=2)
