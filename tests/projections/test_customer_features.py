"""Features of customers: by hand, out of order, in the past, and against a published table."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest

from api.files.importing import run_import
from bench import cdnow
from consumers.follow import fold
from domain import case, customer
from domain.customer_features import number
from domain.erasure import CustomerErased
from domain.events import Event, Recorded
from domain.gamma_gamma import Spend
from domain.interaction import InteractionRecorded
from domain.purchase_history import History
from domain.values import Money
from infra.read_models import customer_features as stored
from infra.read_models.change import Key
from infra.runtime import Runtime
from projections.customer_features import customer_features, mark_reached
from projections.features import counted, features, standing

ANNA, BERT, CASE = (str(UUID(int=n)) for n in (1, 2, 3))
BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)
NUMBERS = count(1)
MAPPING = Path(cdnow.__file__).parent / "mappings" / "cdnow.toml"


def happened(day: float, event: Event, subject: str = ANNA, known: float | None = None) -> Recorded:
    """An event some days after the beginning."""
    at = BEGIN + timedelta(days=day)
    return Recorded(
        event=event, id="", tenant="t", stream=CASE if event.name.startswith("case.") else subject,
        version=1, type=event.name, subject=subject, time=at,
        recordedtime=at if known is None else BEGIN + timedelta(days=known),
        authid="", commandid="", correlationid="", causationid="", sealed={},
        position=next(NUMBERS),
    )  # fmt: skip


def bought(day: float, cents: int = 1000, subject: str = ANNA, currency: str = "EUR") -> Recorded:
    amount = Money(amount=cents, currency=currency)
    return happened(day, customer.PurchaseRecorded(amount=amount), subject)


def wrote(day: float, kind: str = "mail", **more: object) -> Recorded:
    interaction = {"channel": "mail", "direction": "inbound", "kind": kind, **more}
    return happened(day, InteractionRecorded.model_validate(interaction))


def seen(history: list[Recorded], day: float, known: float = 1e4):  # type: ignore[no-untyped-def]
    at = BEGIN + timedelta(days=day)
    kept = counted(history, at, BEGIN + timedelta(days=known))
    rows = standing(customer_features.fold(kept))
    return {key: features(key, row, at) for key, row in rows.items()}


def test_purchases_of_a_day_count_once_and_their_amounts_add_up() -> None:
    history = [bought(0, 1000), bought(14, 300), bought(14.2, 500), bought(35, 1000)]
    anna = seen(history, 49)[ANNA]
    assert anna.history == History(2, 5.0, 7.0)
    assert anna.spent == {"EUR": 2800}
    assert anna.spend == {"EUR": Spend(2, 900.0)}
    assert (anna.purchases, anna.purchase_silence_days, anna.purchase_gap_days) == (3, 14.0, 17.5)


def test_money_given_back_is_no_purchase() -> None:
    anna = seen([bought(0, 1000), bought(10, -400), bought(12, 700, currency="USD")], 20)[ANNA]
    assert anna.history == History(1, 12 / 7, 20 / 7)
    assert anna.spent == {"EUR": 600, "USD": 700}


def test_who_never_bought_has_no_silence() -> None:
    anna = seen([wrote(0), wrote(7), wrote(21, direction="outbound")], 10)[ANNA]
    assert anna.history is None
    assert anna.purchase_silence_days is None
    assert (anna.contacts, anna.contact_gap_days, anna.contact_silence_days) == (2, 7.0, 3.0)


def test_activity_is_compared_with_the_time_before() -> None:
    falling = [wrote(day) for day in (0, 2, 7, 10)] + [wrote(35)]
    assert seen(falling, 48)[ANNA].contact_trend == -0.75
    rising = [bought(day) for day in (0, 190, 250)]
    assert seen(rising, 360)[ANNA].purchase_trend == 1.0
    assert seen([bought(300)], 310)[ANNA].purchase_trend is None


def test_complaints_come_over_any_channel() -> None:
    opened = case.CaseOpened(customer=ANNA, channel="mail", category="complaint", priority="high")
    history = [wrote(0, "complaint"), happened(150, opened), wrote(151, "question")]
    anna = seen(history, 160)[ANNA]
    assert (anna.complaints, anna.recent_complaints, anna.open_cases) == (2, 1, 1)


def test_cases_are_open_until_they_are_resolved_and_again_when_they_are_reopened() -> None:
    opened = case.CaseOpened(customer=ANNA, channel="mail", category="general", priority="high")
    history = [
        happened(0, opened),
        happened(1, case.CaseEscalated(level=1, reason="late")),
        happened(2, case.CaseResolved(resolution="solved")),
        happened(4, case.CaseReopened(reason="not solved")),
        happened(6, case.CaseClosed()),
    ]
    assert [seen(history, day)[ANNA].open_cases for day in (0, 3, 5, 7)] == [1, 0, 1, 0]
    assert seen(history, 7)[ANNA].escalations == 1


def test_satisfaction_is_graded_on_one_scale() -> None:
    history = [
        happened(9, customer.SatisfactionRated(scale="nps", score=0)),
        happened(0, customer.SatisfactionRated(scale="csat", score=5)),
        happened(5, customer.SatisfactionRated(scale="csat", score=3)),
    ]
    assert seen(history, 1)[ANNA].satisfaction == 100.0
    assert seen(history, 1)[ANNA].satisfaction_trend is None
    assert seen(history, 6)[ANNA].satisfaction_trend == -50.0
    assert seen(history, 10)[ANNA].satisfaction == 0.0


def test_signs_of_leaving_and_of_staying_are_counted() -> None:
    withdrawn = {"purpose": "marketing", "channel": "mail", "text_version": "1"}
    history = [
        happened(0, customer.CustomerRegistered(kind="person", stage="friend", channel="web")),
        happened(1, customer.StageChanged(stage="acquaintance")),
        wrote(2, "cancellation"),
        wrote(3, "downgrade"),
        happened(4, customer.CustomerLinked(other=BERT, relation="refers")),
        happened(5, customer.ConsentWithdrawn(**withdrawn)),
    ]
    anna = seen(history, 6)[ANNA]
    assert (anna.downgrades, anna.cancellations, anna.referrals) == (2, 1, 1)
    assert anna.withdrawn == {"marketing"}
    history.append(happened(7, customer.ConsentGranted(**withdrawn)))
    history.append(happened(7, customer.CustomerUnlinked(other=BERT, relation="refers")))
    assert seen(history, 8)[ANNA].withdrawn == frozenset()
    assert seen(history, 8)[ANNA].referrals == 0


def test_the_order_of_arrival_does_not_matter() -> None:
    history = [bought(day) for day in (0, 9, 30)] + [wrote(day) for day in (1, 8, 40)]
    history += [happened(d, customer.SatisfactionRated(scale="csat", score=d)) for d in (1, 4)]
    shuffled = random.Random(4).sample(history, len(history))
    rows = customer_features.fold(history)[ANNA], customer_features.fold(shuffled)[ANNA]
    at = BEGIN + timedelta(days=50)
    assert features(ANNA, rows[0], at) == features(ANNA, rows[1], at)


def test_merged_customers_are_one_until_they_are_unmerged() -> None:
    history = [
        bought(0),
        bought(14, subject=BERT),
        happened(15, customer.CustomerMerged(into=ANNA, reason="same"), BERT),
        happened(30, customer.CustomerUnmerged(out_of=ANNA, reason="mistake"), BERT),
    ]
    assert {k: f.purchases for k, f in seen(history, 20).items()} == {ANNA: 2}
    assert seen(history, 20)[ANNA].history == History(1, 2.0, 20 / 7)
    assert {k: f.purchases for k, f in seen(history, 31).items()} == {ANNA: 1, BERT: 1}


def test_the_past_knows_nothing_of_what_came_or_was_learned_later() -> None:
    late = happened(10, customer.PurchaseRecorded(amount=Money(amount=1, currency="EUR")), known=50)
    history = [bought(0), late, bought(40)]
    assert seen(history, 20, known=20)[ANNA] == seen(history[:1], 20)[ANNA]
    assert seen(history, 20, known=60)[ANNA].purchases == 2
    assert seen(history, 41, known=60)[ANNA].purchases == 3


def test_features_are_numbers_by_name() -> None:
    anna = seen([bought(0), bought(14)], 28)[ANNA]
    assert number(anna, "frequency") == 1.0
    assert number(anna, "spent.EUR") == 2000.0
    assert number(anna, "spent.USD") == 0.0
    assert number(anna, "satisfaction") is None
    with pytest.raises(KeyError):
        number(anna, "shoe_size")


@pytest.mark.skipif(not cdnow.available(), reason="shared/data/cdnow is not here")
def test_raw_purchases_become_the_published_summary(
    runtime: Runtime, catch_up: Callable[[], int], tmp_path: Path
) -> None:
    """All 2,357 customers, from the lines of the file through events and the read model."""
    raw = tmp_path / "purchases.txt"
    raw.write_text(cdnow.raw_sample())
    report = run_import(runtime, raw, tenant="cdnow", authid="test", mapping=MAPPING)
    assert report.verdicts == {"accepted": 6919}
    catch_up()
    end = datetime.combine(cdnow.CALIBRATION_END, datetime.max.time(), UTC)
    found = stored.as_of(runtime.pool, "cdnow", end, datetime.now(UTC))
    numbers = cdnow.sample_identifiers()
    owners = runtime.store.owners("cdnow", numbers)
    histories = {each.customer: each.history for each in found}
    assert len(histories) == len(numbers) == 2357
    published = {row.id: row[1:] for row in cdnow.published()}
    for identifier, number_in_sample in numbers.items():
        frequency, recency, age = histories[owners[identifier]]
        assert (frequency, round(recency, 2), round(age, 2)) == published[number_in_sample]

    last = datetime.combine(cdnow.END, datetime.max.time(), UTC)
    current = stored.current(runtime.pool, "cdnow", last)
    assert current == stored.as_of(runtime.pool, "cdnow", last, datetime.now(UTC))
    assert sum(f.spent["USD"] for f in current) == sum(
        p.cents for p in cdnow.purchases(sample=True)
    )


def test_clocks_that_ran_out_are_counted_and_warnings_are_not() -> None:
    row = customer_features.new_row()
    for mark in ("warned:50%", "breached", "critical", "breached"):
        row = mark_reached(row, SimpleNamespace(mark=mark), None)
    assert features("c", row, BEGIN).breached_clocks == 2
    one, other = row | {"merged_into": None}, row | {"merged_into": "a"}
    assert standing({"a": one, "b": other})["a"]["breached_clocks"] == 4


def test_whoever_was_forgotten_does_not_come_back_with_the_end_of_a_case():
    told = case.CaseOpened(customer=ANNA, channel="mail", category="complaint", priority="high")
    opened = happened(1, told)
    ends = [happened(3, case.CaseResolved(resolution="solved")), happened(4, case.CaseClosed())]
    known = [
        happened(0, customer.CustomerRegistered(kind="person", stage="stranger", channel="web")),
        opened,
    ]
    gone = happened(2, CustomerErased(erasure=ANNA))
    assert [*customer_features.fold([*known, *ends])] == [ANNA]
    assert customer_features.fold([*known, gone, *ends]) == {}


def test_a_row_is_removed_as_of_its_event_however_far_the_transaction_goes():
    registered = customer.CustomerRegistered(kind="person", stage="stranger", channel="web")
    gone = happened(2, CustomerErased(erasure=ANNA))
    folded = fold(customer_features, {}, [happened(0, registered), gone])
    assert folded.rows == {Key("t", ANNA): None}
    assert folded.removed == {Key("t", ANNA): gone.position}
