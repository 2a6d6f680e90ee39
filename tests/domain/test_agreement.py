"""Agreements: versions, scopes, credits and what follows from a mark."""

from datetime import timedelta

import pytest

from domain import agreement as rules
from domain import case as cases
from domain import credit
from domain.agreement import (
    Agreement,
    AgreementDefined,
    AgreementRetired,
    AgreementReviewed,
    AgreementRevised,
    Compensation,
    Credit,
    Escalation,
    Promise,
    Scope,
    match_case,
)
from domain.calendar import ALWAYS
from domain.case import Case, CaseLinked, CaseOpened
from domain.credit import CreditEarned, CreditReversed, Ledger
from domain.escalation import escalate
from domain.rejected import Rejected
from domain.terms import ClockRule, Terms
from domain.values import Money
from tests.domain.calendars import at
from tests.scenario import after, given

ID = "00000000-0000-4000-8000-00000000000{}".format
HOUR = timedelta(hours=1)


def promise(title: str = "Gold", hours: int = 4, scope: Scope | None = None, **more) -> Promise:
    rule = ClockRule(clock="resolution", targets={"normal": hours * HOUR})
    return Promise(
        title=title,
        scope=scope or Scope(tiers=("gold",)),
        terms=Terms(calendar=ALWAYS, clocks=(rule,)),
        **more,
    )


def defined(promised: Promise | None = None, applies_from: str = "2024-01-01") -> AgreementDefined:
    return AgreementDefined(promise=promised or promise(), applies_from=at(applies_from))


def agreement(number: int, promised: Promise, *more, applies_from: str = "2024-01-01") -> Agreement:
    return after(Agreement(ID(number)), defined(promised, applies_from), *more)


GOLD = Agreement(ID(1))
REVISED = AgreementRevised(promise=promise(hours=2), applies_from=at("2024-02-01"), reason="asked")
RETIRED = AgreementRetired(applies_from=at("2024-03-01"), reason="not sold any more")


def test_an_agreement_is_made_once():
    given(GOLD).when(rules.define, defined(), []).then(defined())
    given(GOLD, defined()).when(rules.define, defined(promise(hours=1)), []).rejected(
        "agreement.known"
    )


def test_a_new_version_applies_from_its_own_date():
    given(GOLD, defined()).when(rules.revise, REVISED, []).then(REVISED)
    revised = agreement(1, promise(), REVISED)
    assert [revised.at(at(day)).number for day in ("2024-01-31", "2024-02-01")] == [1, 2]
    assert revised.at(at("2023-12-31")) is None


def test_a_version_cannot_apply_before_the_one_before():
    early = REVISED.model_copy(update={"applies_from": at("2023-12-01")})
    given(GOLD, defined()).when(rules.revise, early, []).rejected("agreement.too_early")


def test_what_nobody_made_cannot_be_changed():
    given(GOLD).when(rules.revise, REVISED, []).rejected("agreement.unknown")
    given(GOLD).when(rules.review, "all well").rejected("agreement.unknown")
    given(GOLD, defined(), RETIRED).when(rules.revise, REVISED, []).rejected("agreement.retired")


def test_a_retired_agreement_is_not_for_new_cases():
    given(GOLD, defined()).when(rules.retire, RETIRED).then(RETIRED)
    retired = agreement(1, promise(), RETIRED)
    assert retired.at(at("2024-02-29")) is not None
    assert retired.at(at("2024-03-01")) is None


def test_a_review_is_kept_each_time():
    reviewed = AgreementReviewed(outcome="kept")
    given(GOLD, defined()).when(rules.review, "kept").then_each_time(reviewed)


# ---- Scopes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [{}, {"everything": True, "tiers": ("gold",)}])
def test_vector_39_a_blank_scope_never_means_everything(scope):
    with pytest.raises(Rejected) as no:
        Scope(**scope)
    assert no.value.code == "agreement.scope"


def test_vector_39_there_is_one_agreement_for_everything():
    everything = promise("Standard", scope=Scope(everything=True))
    standard = agreement(1, everything)
    given(Agreement(ID(2))).when(rules.define, defined(everything), [standard]).rejected(
        "agreement.two_defaults", "Standard"
    )
    retired = after(standard, RETIRED)
    given(Agreement(ID(2))).when(rules.define, defined(everything), [retired]).then(
        defined(everything)
    )


GOLD_BILLING = promise(
    "Gold billing", rank=1, scope=Scope(tiers=("gold", "platinum"), categories=("billing",))
)
NORTH = promise("North", rank=2, scope=Scope(territories=("north",), channels=("phone",)))
STANDARD = promise("Standard", rank=9, scope=Scope(everything=True))
ALL = [agreement(3, STANDARD), agreement(2, NORTH), agreement(1, GOLD_BILLING)]


@pytest.mark.parametrize(
    ("traits", "title", "reason"),
    [
        (
            {"tier": "gold", "category": "billing", "territory": "north", "channel": "phone"},
            "Gold billing",
            "tier is gold, category is billing",
        ),
        ({"tier": "gold", "territory": "north", "channel": "phone"}, "North", "channel is phone"),
        ({"tier": None, "territory": "north", "channel": "email"}, "Standard", "everything"),
    ],
)
def test_the_first_scope_that_fits_wins(traits, title, reason):
    found = match_case(ALL, traits, at("2024-01-15"))
    assert found is not None
    assert found.version.promise.title == title
    assert reason in found.reason


def test_without_a_fitting_scope_there_is_no_agreement():
    assert match_case(ALL[1:], {"tier": "silver"}, at("2024-01-15")) is None
    assert match_case(ALL, {"tier": "gold"}, at("2023-01-15")) is None


# ---- Credits -------------------------------------------------------------------------------------


def euros(amount: int) -> Money:
    return Money(amount=amount * 100, currency="EUR")


def test_a_credit_is_an_amount_or_a_share_of_the_fee():
    owed = Compensation(
        fee=euros(999), credits={"resolution": Credit(percent=5), "update": Credit(amount=euros(7))}
    )
    assert owed.owed("resolution") == Money(amount=4995, currency="EUR")
    assert owed.owed("update") == euros(7)
    assert owed.owed("first_response") is None


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (Credit, "agreement.credit"),
        (lambda: Credit(amount=euros(1), percent=1), "agreement.credit"),
        (lambda: Compensation(credits={"update": Credit(percent=5)}), "agreement.credit"),
        (
            lambda: Compensation(
                fee=Money(amount=1, currency="USD"), credits={"update": Credit(amount=euros(1))}
            ),
            "agreement.currency",
        ),
    ],
)
def test_a_compensation_that_cannot_be_reckoned_is_rejected(make, code):
    with pytest.raises(Rejected) as no:
        make()
    assert no.value.code == code


def earned(number: int, amount: int, full: int | None = None) -> CreditEarned:
    return CreditEarned(
        customer=ID(9),
        agreement=ID(8),
        period="2024-01",
        case=ID(number),
        clock="resolution",
        instance=1,
        amount=euros(amount),
        full=euros(full or amount),
    )


def test_a_breach_earns_its_credit_once_and_up_to_the_cap():
    ledger = Ledger(ID(7))
    given(ledger).when(credit.earn, earned(1, 60), euros(100)).then(earned(1, 60))
    given(ledger, earned(1, 60)).when(credit.earn, earned(2, 60), euros(100)).then(
        earned(2, 40, full=60)
    )
    given(ledger, earned(1, 100)).when(credit.earn, earned(2, 60), None).then(earned(2, 60))


def test_a_credit_can_be_taken_back_with_a_reason_and_gives_the_cap_its_room_again():
    breach = (ID(1), "resolution", 1)
    back = CreditReversed(
        case=ID(1), clock="resolution", instance=1, amount=euros(60), reason="goodwill"
    )
    ledger = Ledger(ID(7))
    given(ledger, earned(1, 60)).when(credit.reverse, breach, "goodwill").then(back)
    given(ledger, earned(1, 60), back).when(credit.earn, earned(2, 60), euros(100)).then(
        earned(2, 60)
    )
    given(ledger).when(credit.reverse, breach, "goodwill").rejected("credit.unknown")


# ---- Escalations ---------------------------------------------------------------------------------

OPEN = after(
    Case(ID(5)),
    CaseOpened(customer=ID(9), channel="email", category="billing", priority="normal"),
)


def test_an_escalation_reassigns_raises_and_tells():
    follows = Escalation(
        on="breached", level=2, agent="Lee", team="second", priority="urgent", notify=("boss",)
    )
    assert escalate(OPEN, [follows], "resolution", "breached") == [
        cases.CaseEscalated(level=2, reason="resolution breached"),
        cases.CaseAssigned(agent="Lee", team="second"),
        cases.CasePriorityChanged(priority="urgent"),
        cases.NotificationRequested(recipient="boss", clock="resolution", mark="breached"),
    ]


def test_an_escalation_to_a_team_alone_takes_the_case_from_its_agent():
    to_second = Escalation(on="breached", team="second")
    handed_over = [cases.CaseHandedOver(team="second")]
    assert escalate(OPEN, [to_second], "resolution", "breached") == handed_over
    elsewhere = after(OPEN, cases.CaseAssigned(agent="Kim", team="first"))
    assert escalate(elsewhere, [to_second], "resolution", "breached") == handed_over
    assert after(elsewhere, *handed_over).assigned == (None, "second")


def test_an_escalation_to_the_team_that_has_the_case_leaves_it_with_its_agent():
    to_second = Escalation(on="breached", team="second")
    for assigned in (
        cases.CaseAssigned(agent="Lee", team="second"),
        cases.CaseHandedOver(team="second"),
    ):
        assert escalate(after(OPEN, assigned), [to_second], "resolution", "breached") == []


def test_an_escalation_only_rises_and_only_on_its_occasion():
    urgent = after(OPEN, cases.CasePriorityChanged(priority="urgent"))
    lower = Escalation(on="warned", priority="high")
    assert escalate(urgent, [lower], "resolution", "warned:50%") == []
    assert escalate(OPEN, [lower], "resolution", "breached") == []
    other = Escalation(on="warned", clock="update", priority="high")
    assert escalate(OPEN, [other], "resolution", "warned:50%") == []
    assert len(escalate(OPEN, [lower], "resolution", "warned:50%")) == 1


def test_nobody_is_troubled_for_a_case_that_is_done():
    done = after(OPEN, cases.CaseResolved(resolution="solved"))
    told = Escalation(on="breached", notify=("boss",), level=3)
    assert escalate(done, [told], "resolution", "breached") == []


# ---- Duplicates ----------------------------------------------------------------------------------


def test_vector_38_duplicates_never_point_at_each_other():
    """Another engine redirects for ever between two merged tickets, and loses the reply."""
    a = after(OPEN, CaseLinked(other=ID(6), relation="duplicates"))
    b = after(Case(ID(6)), CaseOpened(customer=ID(9), channel="x", category="y", priority="low"))
    with pytest.raises(Rejected) as no:
        cases.link(b, a, "duplicates")
    assert no.value.code == "case.link_duplicate"
    assert cases.customer_wrote(a, "hello"), "and a reply to the duplicate is kept"
