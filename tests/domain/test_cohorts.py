"""Who comes back, by the month of the first purchase."""

from datetime import date

from domain.cohorts import Cohort, cohorts

UNTIL = date(2026, 4, 15)


def test_customers_are_counted_by_months_after_their_first() -> None:
    customers = [
        [date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 20), date(2026, 4, 2)],
        [date(2026, 1, 5)],
        [date(2026, 3, 9), date(2026, 4, 30)],
    ]
    january = Cohort("2026-01", 2, (2, 1, 0, 1))
    assert cohorts(customers, UNTIL) == [january, Cohort("2026-03", 1, (1, 0))]


def test_the_year_turns_and_nobody_is_nothing() -> None:
    assert cohorts([[date(2025, 12, 31), date(2026, 1, 1)]], date(2026, 1, 31)) == [
        Cohort("2025-12", 1, (1, 1))
    ]
    assert cohorts([[], [date(2027, 1, 1)]], UNTIL) == []
