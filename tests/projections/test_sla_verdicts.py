"""Whether a target was met: by event times alone, exactly at the deadline included."""

from datetime import timedelta

import pytest

from commands.cases import (
    CloseCase,
    NoteAgentAnswer,
    OpenCase,
    ReopenCase,
    ResolveCase,
    ResumeCase,
    WaitWithCase,
)
from commands.command import ByEmail, ByExternalId
from domain.sla import TARGETS
from infra.read_models.change import Key
from infra.read_models.tables import Step
from projections import sla_clocks
from tests.world import NOON, World

ANSWER_DUE, RESOLUTION_DUE = TARGETS["urgent"]
TICK, HOUR = timedelta(microseconds=1), timedelta(hours=1)
ZERO = timedelta(0)
DUE_AFTER_2H, DUE_AFTER_8H = RESOLUTION_DUE + 2 * HOUR, RESOLUTION_DUE + 8 * HOUR
"""When the resolution is due after pauses of two and of eight hours."""
LATE = timedelta(days=99)

ANSWER, WAIT, RESUME = NoteAgentAnswer, WaitWithCase, ResumeCase
RESOLVE, CLOSE, REOPEN = ResolveCase, CloseCase, ReopenCase

# What happened, how long after the opening; when it is asked; what is said of the two clocks.
STORIES = {
    "nothing yet": ([], ZERO, "running", "running"),
    "answer due now": ([], ANSWER_DUE, "running", "running"),
    "answer overdue": ([], ANSWER_DUE + TICK, "breached", "running"),
    "resolution due now": ([], RESOLUTION_DUE, "breached", "running"),
    "resolution overdue": ([], RESOLUTION_DUE + TICK, "breached", "breached"),
    "answered in time": ([(ANSWER, ANSWER_DUE)], LATE, "met", "breached"),
    "answered late": ([(ANSWER, ANSWER_DUE + TICK)], LATE, "breached", "breached"),
    "answered late, asked before": ([(ANSWER, LATE)], ANSWER_DUE, "breached", "running"),
    "resolved in time": ([(RESOLVE, RESOLUTION_DUE)], LATE, "breached", "met"),
    "resolved late": ([(RESOLVE, RESOLUTION_DUE + TICK)], LATE, "breached", "breached"),
    "paused": ([(ANSWER, ZERO), (WAIT, RESOLUTION_DUE)], LATE, "met", "paused"),
    "paused too late": ([(ANSWER, ZERO), (WAIT, RESOLUTION_DUE + TICK)], LATE, "met", "breached"),
    "paused without an answer": ([(WAIT, ZERO)], LATE, "breached", "paused"),
    "resumed": ([(WAIT, HOUR), (RESUME, 3 * HOUR)], DUE_AFTER_2H, "breached", "running"),
    "resumed, overdue": (
        [(WAIT, HOUR), (RESUME, 3 * HOUR)], DUE_AFTER_2H + TICK, "breached", "breached",
    ),
    "paused and resolved in time": (
        [(WAIT, HOUR), (RESOLVE, LATE)], LATE, "breached", "met",
    ),
    "closed early": ([(CLOSE, ANSWER_DUE)], LATE, "cancelled", "cancelled"),
    "closed overdue": ([(CLOSE, RESOLUTION_DUE + TICK)], LATE, "breached", "breached"),
    "resolved and closed": ([(RESOLVE, HOUR), (CLOSE, LATE)], LATE, "breached", "met"),
    "reopened": ([(RESOLVE, HOUR), (REOPEN, 9 * HOUR)], DUE_AFTER_8H, "breached", "running"),
    "reopened, overdue": (
        [(RESOLVE, HOUR), (REOPEN, 9 * HOUR)], DUE_AFTER_8H + TICK, "breached", "breached",
    ),
}  # fmt: skip


def row_after(happened):
    world, case = World(), ByExternalId(system="desk", id="1")
    world.now += timedelta(days=365)
    ann = ByEmail(email="ann@example.org")
    world.ask(OpenCase(case=case, customer=ann, channel="web", priority="urgent"), at=NOON)
    for kind, after in happened:
        more = {WAIT: {"waiting_for": "customer"}, ANSWER: {"agent": "max"}}.get(kind, {})
        assert world.ask(kind(case=case, **more), at=NOON + after).status == "accepted"
    (row,) = sla_clocks.sla_clocks.fold(world.history()).values()
    return row


@pytest.fixture
def verdicts(runtime):
    """Ask for the two clocks of all stories, each at its own instant."""
    table = runtime.tables["sla_clocks"]
    keys = {name: Key("acme", f"{n:08x}-0000-0000-0000-000000000000")
            for n, name in enumerate(STORIES)}  # fmt: skip
    with table.transaction(Step(0, 1)) as change:
        change.write({keys[name]: row_after(story[0]) for name, story in STORIES.items()}, {})
    query = f"SELECT first_answer, resolution FROM ({sla_clocks.CLOCKS}) c WHERE key = %(key)s"
    with runtime.pool.connection() as conn:
        return {
            name: conn.execute(
                query, {"tenant": "acme", "key": keys[name].key, "at": NOON + story[1]}
            ).fetchone()
            for name, story in STORIES.items()
        }


def test_every_clock_says_what_the_event_times_say(verdicts):
    assert verdicts == {name: (story[2], story[3]) for name, story in STORIES.items()}
