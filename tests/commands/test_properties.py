"""What holds for every command, whatever came before it."""

from copy import deepcopy
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from commands.agreements import ReviewAgreement
from commands.cases import NoteAgentAnswer, NoteCustomerMessage
from commands.catalogue import ALL
from commands.command import organisation
from commands.customers import GrantConsent, RateSatisfaction, RecordPurchase, WithdrawConsent
from commands.interactions import RecordInteraction
from commands.session import AGGREGATES
from domain.catalogue import EVENTS, RETENTION, names
from domain.erasure import CustomerErased
from tests.strategies import bounded, command, commands, stories, story
from tests.world import World

COMMAND = "cc000000-0000-0000-0000-000000000000"
EACH_COUNTS = (
    RecordPurchase,
    RateSatisfaction,
    GrantConsent,
    WithdrawConsent,
    NoteCustomerMessage,
    NoteAgentAnswer,
    RecordInteraction,
    ReviewAgreement,
)
"""Two of these with different ids are two things that happened."""


def kept(world):
    store = world.store
    return list(store.log), dict(store.kept_owners), dict(store.kept_answers)


@given(stories(), commands())
@bounded(100)
def test_a_command_that_is_sent_twice_changes_nothing_and_gets_the_first_answer(world, asked):
    first = world.ask(asked, COMMAND)
    before = kept(world)
    again = world.ask(asked, COMMAND)
    assert kept(world) == before
    if first.status == "accepted":
        assert again.status == "duplicate"
        if not asked.is_fact:
            assert (again.events, again.token) == (first.events, first.token)
        else:
            assert (again.events, again.token) == (first.events[-1:], first.token)
    else:
        assert again._replace(token=0) == first._replace(token=0)


@given(stories(), commands(*(kind for kind in ALL if kind not in EACH_COUNTS)))
@bounded(100)
def test_asking_twice_with_another_id_brings_nothing_new_about(world, asked):
    first = world.ask(asked)
    before = len(world.store.log)
    again = world.ask(asked)
    assert len(world.store.log) == before
    assert (again.status, again.events) == (first.status, ())


@given(st.lists(commands(), max_size=12))
@bounded(40)
def test_a_batch_amounts_to_the_same_as_its_requests_one_by_one(asked):
    together, apart = World(), World()
    verdicts = together.ask_all([(each, "", None) for each in asked])
    one_by_one = [apart.ask(each) for each in asked]
    assert [(v.status, v.code) for v in verdicts] == [(v.status, v.code) for v in one_by_one]
    assert [r.event for r in together.store.log] == [r.event for r in apart.store.log]


@given(stories())
@bounded(40)
def test_streams_have_no_gaps_and_are_about_one_customer_for_ever(world):
    for (_, stream), events in world.store.streams.items():
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        assert len({event.subject for event in events}) == 1
        if events[0].subject == organisation(events[0].tenant):
            continue
        subject = world.state(events[0].subject)
        assert type(subject).__name__ == "Customer"
        assert subject.exists
        assert len({event.type.split(".")[0] for event in events}) == 1, stream


@given(stories())
@bounded(40)
def test_an_identifier_leads_to_the_one_customer_that_holds_it(world):
    holders = {}
    for (_, stream), events in world.store.streams.items():
        if events[0].type.startswith("customer."):
            for identifier in world.state(stream).identifiers:
                assert holders.setdefault(identifier, stream) == stream
    assert holders == {i: owner for (_, i), owner in world.store.kept_owners.items()}


@given(stories())
@bounded(40)
def test_folding_is_total_and_leaves_what_it_folds_alone(world):
    """Every event that decisions can make is understood, and folding it twice gives the same."""
    for (_, stream), events in world.store.streams.items():
        begin_evolve = AGGREGATES.get(events[0].type.partition(".")[0])
        if begin_evolve is None:
            continue
        begin, evolve = begin_evolve
        state = begin(stream)
        for recorded in events:
            before = deepcopy(state)
            following = evolve(state, recorded.event)
            assert state == before
            assert evolve(before, recorded.event) == following
            state = following
        assert state == world.state(stream)


def test_random_stories_bring_about_every_event():
    """The properties above are worth little if the stories never come to what they are about."""
    worlds = [story(seed, length=120) for seed in range(60)]
    happened = {r.type for world in worlds for r in world.store.log}
    others = names(*RETENTION) | {CustomerErased.name}  # they have stories of their own
    assert happened - others == set(EVENTS) - others


def test_on_postgresql_too_a_story_that_is_sent_twice_changes_nothing(runtime):
    chance, world = Random(1), World(runtime.store)
    asked = [(command(chance), str(UUID(int=n)), None) for n in range(1, 300)]
    first = world.ask_all(asked)
    again = world.ask_all(asked)  # what was rejected may be accepted by now
    for was, now in zip(first, again, strict=True):
        if was.status == "accepted":
            assert now.status == "duplicate"
            assert now.events[-1:] == was.events[-1:]
    with runtime.pool.connection() as conn:
        (events,) = conn.execute("SELECT count(*) FROM crm.event").fetchone()
    kept = {e.id for v in (*first, *again) for e in v.events}
    assert events == len(kept) > 50
