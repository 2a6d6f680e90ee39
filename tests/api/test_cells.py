"""What cells mean: amounts, times and texts, exactly or not at all."""

import pytest

from domain.rejected import Rejected
from tests.api.mapped import PAID, events_of, purchase


def amount(field: str, row: str) -> dict | None:
    """What money a field makes of the columns paid, pieces and currency."""
    text = purchase(fields=f'paid = {{ from = "{{paid}}", as = "money", {field} }}')
    (((event),),) = events_of(text, "who|paid|pieces|currency", f"7|{row}")
    return event["data"].get("amount")


def instant(field: str, cell: str, zone: str = "Europe/Rome") -> str:
    """What time a field makes of a cell."""
    more = f", {field}" if field else ""
    fields = f'{PAID}\nat = {{ from = "{{day}}", as = "time"{more} }}'
    text = purchase(top=f'zone = "{zone}"', fields=fields, event='time = "{at}"')
    ((event,),) = events_of(text, "who|paid|day", f"7|1|{cell}")
    return event["time"].removesuffix("+00:00")


def product(field: str, cell: str) -> str | None:
    """What text a field makes of a cell."""
    text = purchase(fields=f"{PAID}\nproduct = {{ {field} }}", event='data.product = "{product}"')
    ((event,),) = events_of(text, "who|paid|what", f"7|1|{cell}")
    return event["data"].get("product")


# ---- Money and numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "row", "minor"),
    [
        ('currency = "USD"', "11.77||", 1177),
        ('currency = "USD"', "0.1||", 10),
        ('currency = "USD"', "-5||", -500),
        ('currency = "USD"', "+12.5000||", 1250),
        ('currency = "USD"', ".5||", 50),
        ('currency = "JPY"', "1200||", 1200),
        ('currency = "KWD"', "1.234||", 1234),
        ('currency = "CLF"', "1.2345||", 12345),
        ('currency = "USD", unit = "minor"', "1177||", 1177),
        ('currency = "EUR", decimal = ",", thousands = "."', "1.234.567,89||", 123456789),
        ('currency = "EUR", decimal = ",", thousands = "."', "1234,5||", 123450),
        ('currency = "INR", thousands = ","', "12,34,567.00||", 123456700),
        ('currency = "CHF", thousands = "\'"', "1'000.05||", 100005),
        ('currency = "USD", find = "[0-9.,-]+", thousands = ","', "US$ 1,234.50||", 123450),
        ('currency = "GBP", times = "{pieces}"', "2.55|6|", 1530),
        ('currency = "GBP", times = "{pieces}"', "0.1|-3|", -30),
        ('currency = "GBP", times = "{pieces}", rounding = "half_up"', "0.335|1|", 34),
        ('currency = "GBP", rounding = "half_even"', "0.345||", 34),
    ],
)
def test_an_amount_becomes_exactly_its_minor_units(field, row, minor):
    assert amount(field, row)["amount"] == minor


def test_a_currency_can_be_a_column():
    assert amount('currency = "{currency}"', "3.5||EUR") == {"amount": 350, "currency": "EUR"}


@pytest.mark.parametrize(
    ("field", "row", "code"),
    [
        ('currency = "USD"', "11.777||", "row.amount_inexact"),
        ('currency = "JPY"', "1.5||", "row.amount_inexact"),
        ('currency = "USD", unit = "minor"', "1.5||", "row.amount_inexact"),
        ('currency = "USD"', "12,50||", "row.number_invalid"),
        ('currency = "USD", thousands = ","', "12,50||", "row.number_invalid"),
        ('currency = "EUR", decimal = ",", thousands = "."', "12.50||", "row.number_invalid"),
        ('currency = "USD"', "1e3||", "row.number_invalid"),
        ('currency = "USD"', "NaN||", "row.number_invalid"),
        ('currency = "USD"', "١٢||", "row.number_invalid"),
        ('currency = "USD"', f"{'9' * 80}||", "row.number_too_long"),
        ('currency = "USD", times = "{pieces}"', f"{'9' * 40}|{'9' * 40}|", "row.number_too_long"),
        ('currency = "USD", times = "{pieces}"', "1||", "row.number_invalid"),
        ('currency = "{currency}"', "1||", "row.currency_missing"),
    ],
)
def test_an_amount_is_never_guessed(field, row, code):
    with pytest.raises(Rejected) as told:
        amount(field, row)
    assert told.value.code == code
    assert told.value.sentence.startswith("The field `paid` ")


def test_a_whole_number_may_be_written_with_a_fraction_of_nothing():
    text = purchase(
        fields=PAID + '\npieces = { from = "{n}", as = "integer" }',
        event='data.quantity = "{pieces}"',
    )
    ((event,),) = events_of(text, "who|paid|n", "7|1|3.0")
    assert event["data"]["quantity"] == 3
    with pytest.raises(Rejected, match="`pieces` is not a whole number"):
        events_of(text, "who|paid|n", "7|1|3.5")


# ---- Times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "cell", "utc"),
    [
        ("", "2026-07-01 12:00:00", "2026-07-01T10:00:00"),
        ("", "2026-07-01T12:00:00.250Z", "2026-07-01T12:00:00.250000"),
        ("", "2026-07-01T12:00:00+05:30", "2026-07-01T06:30:00"),
        ("", "2026-07-01", "2026-06-30T22:00:00"),
        ('at = "09:30"', "2026-07-01", "2026-07-01T07:30:00"),
        ('at = "09:30"', "2026-07-01T12:00", "2026-07-01T10:00:00"),
        ('formats = ["%d/%m/%Y"], zone = "UTC"', "03/02/2026", "2026-02-03T00:00:00"),
        ('formats = ["%m/%d/%y %I:%M %p"]', "02/03/26 01:05 PM", "2026-02-03T12:05:00"),
        (
            'formats = ["%d.%m.%Y %H:%M", "%d.%m.%Y"], at = "12:00"',
            "3.2.2026",
            "2026-02-03T11:00:00",
        ),
        ('formats = ["%Y-%m-%dT%H:%M:%S%z"]', "2026-02-03T00:00:00-0800", "2026-02-03T08:00:00"),
        ('formats = ["unix"]', "1767225600.5", "2026-01-01T00:00:00.500000"),
        ('formats = ["unix_ms"]', "1767225600001", "2026-01-01T00:00:00.001000"),
        ('formats = ["excel"]', "46023.5", "2026-01-01T11:00:00"),
        # The clocks go forward from 02:00 to 03:00, and back from 03:00 to 02:00.
        ("", "2026-03-29 01:59:59", "2026-03-29T00:59:59"),
        ("", "2026-03-29 02:30:00", "2026-03-29T01:30:00"),
        ("", "2026-03-29 03:00:00", "2026-03-29T01:00:00"),
        ("", "2026-10-25 02:30:00", "2026-10-25T00:30:00"),
        ("", "2026-10-25 03:00:00", "2026-10-25T02:00:00"),
    ],
)
def test_a_time_becomes_an_instant(field, cell, utc):
    assert instant(field, cell) == utc


@pytest.mark.parametrize("cell", ["yesterday", "2026-02-30", "0001-01-01 00:00", "12:00"])
def test_what_is_no_time_is_refused(cell):
    with pytest.raises(Rejected) as told:
        instant("", cell)
    assert told.value.code == "row.time_invalid"


@pytest.mark.parametrize("cell", ["NaN", "Infinity", "1e99", "", "now"])
def test_what_is_no_count_of_seconds_is_refused(cell):
    with pytest.raises((Rejected, KeyError)):
        instant('formats = ["unix"]', cell)


def test_a_local_time_without_a_zone_is_refused():
    text = purchase(fields=PAID + '\nat = { from = "{day}", as = "time" }', event='time = "{at}"')
    with pytest.raises(Rejected) as told:
        events_of(text, "who|paid|day", "7|1|2026-01-01T00:00:00")
    assert told.value.code == "row.time_without_zone"


def test_an_empty_time_leaves_the_event_without_one():
    text = purchase(
        top='zone = "UTC"',
        fields=PAID + '\nat = { from = "{day}", as = "time" }',
        event='time = "{at}"',
    )
    ((event,),) = events_of(text, "who|paid|day", "7|1|")
    assert "time" not in event


# ---- Texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "cell", "text"),
    [
        ('from = "{what}"', "tea", "tea"),
        ('from = "{what}"', "", None),
        ('from = "{what}", empty = "nothing"', "", "nothing"),
        ('from = "{what}", empty = "of {who}"', "", "of 7"),
        ('from = "{what}", map = { a = "b" }', "a", "b"),
        ('from = "{what}", map = { a = "b" }, other = "c"', "x", "c"),
        ('from = "{what}", map = { a = "b" }, other = "{what}"', "x", "x"),
        ('from = "{what}", map = { a = "b" }, other = "c"', "", None),
        (r"from = '{what}', find = '\d+'", "no 12 of 34", "12"),
        (r"from = '{what}', find = 'of (\d+)'", "no 12 of 34", "34"),
        (r"from = '{what}', find = '\d+', empty = 'none'", "no", "none"),
        (r"from = '{what}', find = '^\d', map = { 1 = 'one' }", "12", "one"),
        ('from = "{who}/{what}"', "x", "7/x"),
        ('from = "{{{what}}}"', "x", "{x}"),
        ('from = "#{#3}"', "x", "#x"),
    ],
)
def test_a_text_is_found_translated_and_replaced(field, cell, text):
    assert product(field, cell) == text


def test_a_value_that_the_map_does_not_name_is_a_fault_that_does_not_tell_it():
    with pytest.raises(Rejected) as told:
        product('from = "{what}", map = { a = "b" }', "secret")
    assert told.value.code == "row.value_unknown"
    assert "secret" not in told.value.sentence
