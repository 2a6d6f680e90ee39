"""What the text of a cell means: numbers, amounts of money, instants. Never a guess.

Every function raises `Unusable` without a word of the text: it may be personal.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, DecimalException, Inexact
from decimal import InvalidOperation as NotANumber
from functools import lru_cache
from zoneinfo import ZoneInfo

EXACT = Context(prec=60, traps=[Inexact, NotANumber])
"""Arithmetic that refuses to lose a digit."""

ODD_CURRENCIES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
MINOR_DIGITS = {code: n for n, codes in ODD_CURRENCIES.items() for code in codes.split()}
"""The currencies of ISO 4217 whose minor unit is not a hundredth."""

ROUNDINGS = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets count in local days
INSTANTS_REMEMBERED = 4096


class Unusable(Exception):
    """A cell does not hold what it should; `why` goes on after "The field `x` …"."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code, self.why = code, why


@lru_cache
def number_pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    """Describe a number; groups of thousands must be where they belong, or 12,50 became 1250."""
    point, group = re.escape(decimal), re.escape(thousands)
    grouped = rf"\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}|" if thousands else ""
    fraction = rf"(?:{point}\d+)?" if decimal else ""
    alone = rf"|{point}\d+" if decimal else ""
    return re.compile(rf"[+-]?(?:(?:{grouped}\d+){fraction}{alone})", re.ASCII)


def number(text: str, decimal: str, thousands: str) -> Decimal:
    """Read a number exactly."""
    if number_pattern(decimal, thousands).fullmatch(text) is None:
        raise Unusable("row.number_invalid", "is not a number in the form that is declared")
    plain = text.replace(thousands, "") if thousands else text
    try:
        return EXACT.create_decimal(plain.replace(decimal, ".") if decimal else plain)
    except DecimalException:
        raise Unusable("row.number_too_long", "has too many digits") from None


def integer(text: str, decimal: str, thousands: str) -> int:
    """Read a whole number; 3.0 is one, 3.5 is not."""
    value = number(text, decimal, thousands)
    if value != value.to_integral_value():
        raise Unusable("row.number_inexact", "is not a whole number")
    return int(value)


def minor_units(amount: Decimal, currency: str, unit: str, rounding: str | None) -> int:
    """Convert an amount to minor units; what would lose a digit is refused or rounded as told."""
    digits = MINOR_DIGITS.get(currency, 2) if unit == "major" else 0
    exact = amount.scaleb(digits, EXACT)
    whole = exact.to_integral_value(ROUNDINGS[rounding] if rounding else None)
    if rounding is None and whole != exact:
        why = f"has more digits than {currency} has minor units; `rounding` can say what to do"
        raise Unusable("row.amount_inexact", why)
    return int(whole)


def product(one: Decimal, other: Decimal) -> Decimal:
    """Multiply exactly."""
    try:
        return EXACT.multiply(one, other)
    except DecimalException:
        raise Unusable("row.number_too_long", "has too many digits when multiplied") from None


def instants(formats: Sequence[str], zone: ZoneInfo | None, at: time) -> Callable[[str], str]:
    """Give a function that reads instants in any of some formats, as ISO 8601 in UTC.

    A local time that the clocks skip counts as the later one; of one that comes twice, the first.
    """

    @lru_cache(INSTANTS_REMEMBERED)
    def read(text: str) -> str:
        for form in formats:
            try:
                moment = moment_of(text, form, at)
            except (ValueError, OverflowError, DecimalException):
                continue
            return in_utc(moment, zone).isoformat()
        raise Unusable("row.time_invalid", "is not a time in any of the declared formats")

    return read


def moment_of(text: str, form: str, at: time) -> datetime:
    """Read a moment in one format; raises `ValueError` when it has another."""
    if form.startswith("unix"):
        seconds = EXACT.create_decimal(text).scaleb(-3 if form == "unix_ms" else 0, EXACT)
        return EPOCH + timedelta(microseconds=int(seconds.scaleb(6, EXACT)))
    if form == "excel":
        return EXCEL_EPOCH + timedelta(seconds=round(float(text) * 86_400))
    if form == "iso":
        moment = datetime.fromisoformat(text)
        return datetime.combine(moment, at) if len(text) <= len("2020-W01-1") else moment
    moment = datetime.strptime(text, form)  # noqa: DTZ007 - its zone is told apart
    has_clock = any(directive in form for directive in ("%H", "%I", "%c", "%X", "%T"))
    return moment if has_clock else datetime.combine(moment, at, moment.tzinfo)


def in_utc(moment: datetime, zone: ZoneInfo | None) -> datetime:
    """Bring a moment to UTC, local ones by way of their zone."""
    if moment.tzinfo is None:
        if zone is None:
            raise Unusable("row.time_without_zone", "is a local time, and no zone is declared")
        moment = moment.replace(tzinfo=zone)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Unusable("row.time_invalid", "is a time out of all bounds") from None
