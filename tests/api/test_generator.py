"""The generated year: the same for the same seed, in order, sound, and the right size."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import islice

import pytest

from api.demo.books import Books, is_silent
from api.demo.generator import email, messages, year
from api.demo.story import EMAIL, STORY
from api.demo.world import END, YEAR, Sent
from commands.cloudevents import read
from domain.rejected import Rejected

SEED, CUSTOMERS = 7, 60


@pytest.fixture(scope="module")
def played() -> list[Sent]:
    return list(year(SEED, CUSTOMERS))


def test_the_same_seed_gives_the_same_year(played: list[Sent]) -> None:
    assert list(year(SEED, CUSTOMERS)) == played
    assert list(year(SEED + 1, CUSTOMERS)) != played


def test_messages_come_in_order_of_arrival_and_within_the_year(played: list[Sent]) -> None:
    arrivals = [sent.arrival for sent in played]
    assert arrivals == sorted(arrivals)
    assert END - YEAR <= arrivals[0] <= arrivals[-1] < END


def test_nothing_is_told_before_it_happened(played: list[Sent]) -> None:
    assert all(datetime.fromisoformat(sent.message["time"]) <= sent.arrival for sent in played)


def test_some_messages_come_late_and_some_come_twice(played: list[Sent]) -> None:
    late = [s for s in played if datetime.fromisoformat(s.message["time"]) < s.arrival]
    assert len([s for s in late if s.verdict == "accepted"]) > 10
    seen: set[str] = set()
    for sent in played:
        again = sent.message["id"] in seen
        assert again == (sent.verdict in ("duplicate", "conflict"))
        seen.add(sent.message["id"])


def test_only_the_broken_message_cannot_be_read(played: list[Sent]) -> None:
    refused = []
    for sent in played:
        try:
            read(sent.message, "default")
        except Rejected:
            refused.append(sent)
    assert [sent.verdict for sent in refused] == ["rejected"]
    assert Counter(s.verdict for s in played)["conflict"] == 1


def test_every_channel_numbers_its_own_messages() -> None:
    ids = {(m["source"], m["id"]) for m in messages(SEED, 5)}
    assert {source.rpartition("/")[2] for source, _ in ids} >= {"web", "shop", "mail", "chat"}
    assert all(id_.startswith(source.rpartition("/")[2]) for source, id_ in ids)


def test_messages_for_benchmarks_begin_at_once() -> None:
    assert len(list(islice(messages(SEED, 1_000_000), 100))) == 100


def test_the_books_know_the_people(played: list[Sent]) -> None:
    books = Books()
    for sent in played:
        books.note(sent)
    companies = sum(s.message["source"].rpartition("/")[2] == "erp" for s in played) // 2
    assert books.customers() == CUSTOMERS + 1 + companies
    assert books.verdicts.total() == len(played)
    assert EMAIL not in {email(number) for number in range(CUSTOMERS)}
    assert sum(s.message.get("correlationid") == STORY for s in played) > 40


def figures(sents: list[Sent]) -> tuple[object, ...]:
    books = Books()
    for sent in sents:
        books.note(sent)
    worth = [sum(deal.amount for deal in deals) for deals in (books.won(), books.open_deals())]
    late = books.answered_late(END), books.resolved_late(END)
    counts = books.customers(), books.silent(END), books.cents, len(books.tickets)
    return (books.verdicts, books.types, worth, late, counts)


@pytest.mark.parametrize(
    "type_",
    [
        "customer.registered.v1",
        "customer.purchase_recorded.v1",
        "customer.merged.v1",
        "interaction.recorded.v1",
        "lead.won.v1",
        "case.opened.v1",
        "case.agent_answered.v1",
        "case.resolved.v1",
    ],
)
def test_the_books_notice_a_message_that_is_missing(played: list[Sent], type_: str) -> None:
    accepted = [s for s in played if s.verdict == "accepted"]
    missing = next(s for s in accepted if s.message["type"] == type_)
    case = missing.message["data"].get("case") if type_ == "case.opened.v1" else None
    others = [
        s
        for s in played
        if s is not missing and (not case or s.message["data"].get("case") != case)
    ]
    assert figures(others) != figures(played)


@pytest.mark.parametrize(
    ("gaps", "silence", "alarming"),
    [((10, 10), 30, False), ((10, 10), 31, True), ((10,), 99, False), ((0, 0), 99, False)],
)
def test_silence_is_measured_by_the_own_rhythm(
    gaps: tuple[int, ...], silence: int, alarming: bool
) -> None:
    signs = [END]
    for gap in gaps:
        signs.append(signs[-1] + timedelta(days=gap))
    assert is_silent(signs, signs[-1] + timedelta(days=silence)) is alarming
