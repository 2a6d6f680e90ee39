"""Plain values: what is let in, and what two ways of writing the same thing amount to."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.values import (
    Id,
    Identifier,
    Instant,
    Label,
    Money,
    Percent,
    Text,
    email,
    external_id,
    phone,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def read(kind, value):
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    "written",
    ["2026-01-31T12:00:00Z", "2026-01-31T14:00+02:00", "2026-01-31 07:00:00.000000-05:00", NOON],
)
def test_a_time_is_the_same_moment_however_its_zone_is_written(written):
    assert read(Instant, written) == NOON
    assert read(Instant, written).tzinfo is UTC


@pytest.mark.parametrize("naive", ["2026-01-31T12:00:00", "2026-01-31", datetime(2026, 1, 31)])
def test_a_time_without_a_zone_is_refused(naive):
    with pytest.raises(ValidationError, match="timezone"):
        read(Instant, naive)


@pytest.mark.parametrize("number", [1_769_860_800, 1.5, True, "1769860800", "-1", "1e9"])
def test_a_bare_number_is_no_time_because_its_unit_is_anybodys_guess(number):
    with pytest.raises(ValidationError, match="a time is written as"):
        read(Instant, number)


@pytest.mark.parametrize("beyond", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_that_utc_cannot_hold_is_refused_like_any_other_fault(beyond):
    with pytest.raises(ValidationError, match="out of range"):
        read(Instant, beyond)


def test_an_id_is_a_uuid_in_lower_case():
    assert read(Id, "0190A1B2-0000-7000-8000-00000000000F").endswith("f")
    for wrong in ("", "0190a1b2", "0190a1b2-0000-7000-8000-00000000000g", 7):
        with pytest.raises(ValidationError):
            read(Id, wrong)


@pytest.mark.parametrize("wrong", ["", "x" * 121, "a\nb", "a\x00b", "a\x7fb", 7, None])
def test_a_label_is_short_and_printable(wrong):
    with pytest.raises(ValidationError):
        read(Label, wrong)


def test_free_text_may_have_lines_but_no_control_characters():
    assert read(Text, "Dear all,\r\n\tfine.") == "Dear all,\r\n\tfine."
    for wrong in ("\x00", "\x1b[31m", "x" * 65_537):
        with pytest.raises(ValidationError):
            read(Text, wrong)


@pytest.mark.parametrize("wrong", [1.0, "100", 2**53 + 1, -(2**53) - 1, None, True])
def test_money_is_whole_minor_units(wrong):
    with pytest.raises(ValidationError):
        Money(amount=wrong, currency="EUR")


@pytest.mark.parametrize("wrong", ["eur", "EURO", "€", "", "EU1"])
def test_money_has_a_currency_code_of_three_letters(wrong):
    with pytest.raises(ValidationError):
        Money(amount=1, currency=wrong)


@pytest.mark.parametrize("wrong", [-1, 101, float("nan")])
def test_a_percentage_is_0_to_100(wrong):
    with pytest.raises(ValidationError):
        read(Percent, wrong)


def test_case_and_blanks_do_not_tell_two_email_addresses_apart():
    assert email(" Ann@Example.ORG ") == email("ann@example.org")


def test_neither_does_the_way_in_which_a_letter_is_composed():
    composed, decomposed = "ren\u00e9@example.org", "Rene\u0301@example.org"
    assert email(composed) == email(decomposed)
    assert email(composed).value == composed


def test_punctuation_does_not_tell_two_telephone_numbers_apart():
    assert phone("+49 (30) 123-45") == phone("+493012345") == Identifier("phone", "", "+493012345")
    assert phone("030 12345") != phone("+30 12345")


def test_an_external_id_is_kept_to_the_letter_and_belongs_to_its_system():
    assert external_id("shop", "A1") != external_id("shop", "a1")
    assert external_id("shop", "A1") != external_id("desk", "A1")
