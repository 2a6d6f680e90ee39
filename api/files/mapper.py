"""What a mapping does to a row: its cells become CloudEvents, all of the row's or none.

A field is worked out when an event needs it, and once for each row.
"""

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Lookups
from typing import Any

from api.files.cells import Unusable, instants, integer, minor_units, number, product
from api.files.lookups import Table, column_of
from api.files.mapping import AnyField, EventSpec, IntegerField, Mapping, MoneyField, TimeField
from api.files.occurrences import Occurrences, digest
from api.files.templates import Names, Scope, condition, leaf, template, text_of
from domain.rejected import Rejected


class Mapper:
    """A mapping that fits the columns of a file. Raises `Rejected` when it does not."""

    def __init__(
        self,
        mapping: Mapping,
        columns: Sequence[str],
        lookups: Lookups[str, Table],
        secret: bytes = b"",
    ) -> None:
        self._mapping, self._secret = mapping, secret
        names = Names(columns)
        for name, field in mapping.fields.items():
            names.fields[name] = Worker(name, field, names, mapping, lookups).value
        self._key = [names.get(name, "key") for name in mapping.key]
        self._skip = [condition(each, names, f"skip.{n}") for n, each in enumerate(mapping.skip, 1)]
        self._events = [
            Builder(spec, names, f"events.{n}") for n, spec in enumerate(mapping.events, 1)
        ]
        self._occurrences = Occurrences()  # last: whoever is refused above has nothing to close

    def messages(self, cells: Sequence[str]) -> list[dict[str, Any]]:
        """Give the CloudEvents of a row, none if it is to be skipped. Raises `Rejected`."""
        scope = Scope(cells)
        id_ = self._row_id(scope)
        if any(holds(scope) for holds in self._skip):
            return []
        built = [(each, each.body(scope)) for each in self._events if each.applies(scope)]
        return [
            {"id": f"{id_}-{each.name}", "source": self._mapping.source, **body}
            for each, body in built
            if each.is_due(scope, self._occurrences)
        ]

    def close(self) -> None:
        """Forget what was counted."""
        self._occurrences.close()

    def _row_id(self, scope: Scope) -> str:
        """Name a row by what it says, so that the same file always gives the same names.

        Only a keyed digest: ids are kept in the clear for ever, and a cell may be personal.
        """
        if self._key:
            parts = [text_of(get(scope)) for get in self._key]
            if not any(parts):
                raise Rejected("row.key_missing", "The row has nothing in its key columns.")
            key = digest(self._secret, *parts)
            if not self._mapping.repeats:
                return key.hex()
        else:
            key = digest(self._secret, *scope.cells)
        return f"{key.hex()}-{self._occurrences.count(key)}"


# ---- Fields --------------------------------------------------------------------------------------


class Worker:
    """Works a field out."""

    def __init__(
        self,
        name: str,
        field: AnyField,
        names: Names,
        mapping: Mapping,
        lookups: Lookups[str, Table],
    ) -> None:
        place = f"fields.{name}"
        self._name, self._field = name, field
        self._from = template(field.from_, names, f"{place}.from")
        self._other = template(field.other, names, f"{place}.other") if field.other else None
        self._empty = template(field.empty, names, f"{place}.empty") if field.empty else None
        self._known = field.map
        if field.lookup is not None and field.take is not None:
            self._known = column_of(lookups[field.lookup], field.take, place)
        self._convert = converter(field, names, mapping, place)

    def value(self, scope: Scope) -> Any:  # noqa: ANN401 - a text, a number, a time, money
        """Give the field's value of a row; worked out once."""
        if self._name not in scope.known:
            scope.known[self._name] = self._work_out(scope)
        return scope.known[self._name]

    def _work_out(self, scope: Scope) -> Any:  # noqa: ANN401 - see above
        try:
            text = self._translated(self._found(text_of(self._from(scope))), scope)
            return None if text == "" else self._convert(text, scope)
        except Unusable as no:
            sentence = f"The field `{self._name}` {no.why}."
            raise Rejected(no.code, sentence) from None

    def _found(self, text: str) -> str:
        if self._field.find is None or not text:
            return text
        match = self._field.find.search(text)
        if match is None:
            return ""
        return (match[1] or "") if match.re.groups else match[0]

    def _translated(self, text: str, scope: Scope) -> str:
        if not text:
            return text_of(self._empty(scope)) if self._empty else ""
        if self._known is None:
            return text
        if text in self._known:
            return self._known[text]
        if self._other is None:
            raise Unusable("row.value_unknown", "has a value that the mapping does not name")
        return text_of(self._other(scope))


def converter(
    field: AnyField, names: Names, mapping: Mapping, place: str
) -> Callable[[str, Scope], Any]:
    """Give what makes a value of a field's text. Raises `Unusable` when called."""
    match field:
        case TimeField():
            read = instants(field.formats, field.zone or mapping.zone, field.at)
            return lambda text, _: read(text)
        case IntegerField():
            return lambda text, _: integer(text, field.decimal, field.thousands)
        case MoneyField():
            return money(field, names, place)
    return lambda text, _: text


def money(field: MoneyField, names: Names, place: str) -> Callable[[str, Scope], Any]:
    """Give what makes money of a text; without a currency it cannot be made."""
    currency = template(field.currency, names, f"{place}.currency")
    times = template(field.times, names, f"{place}.times") if field.times else None

    def convert(text: str, scope: Scope) -> dict[str, Any]:
        code = currency(scope)
        if code is None:
            raise Unusable("row.currency_missing", "has no currency")
        amount = number(text, field.decimal, field.thousands)
        if times is not None:
            factor = text_of(times(scope))
            amount = product(amount, number(factor, field.decimal, field.thousands))
        units = minor_units(amount, code, field.unit, field.rounding)
        return {"amount": units, "currency": code}

    return convert


# ---- Events --------------------------------------------------------------------------------------


class Builder:
    """Builds one kind of event."""

    def __init__(self, spec: EventSpec, names: Names, place: str) -> None:
        self.name = spec.name
        self._type = spec.type
        self._when = condition(spec.when, names, f"{place}.when")
        self._unless = condition(spec.unless, names, f"{place}.unless") if spec.unless else None
        self._once = [names.get(name, f"{place}.once") for name in spec.once]
        self._time = template(spec.time, names, f"{place}.time") if spec.time else None
        self._data = leaf(spec.data, names, f"{place}.data")

    def applies(self, scope: Scope) -> bool:
        """Tell whether the row gives such an event."""
        return self._when(scope) and not (self._unless is not None and self._unless(scope))

    def body(self, scope: Scope) -> dict[str, Any]:
        """Give the event without its id."""
        body = {"type": self._type, "data": self._data(scope) or {}}
        at = self._time(scope) if self._time is not None else None
        return body if at is None else {**body, "time": at}

    def is_due(self, scope: Scope, occurrences: Occurrences) -> bool:
        """Tell whether it is the first of those of which only one is wanted."""
        if not self._once:
            return True
        of_what = digest(b"", "once", self.name, *(text_of(get(scope)) for get in self._once))
        return occurrences.count(of_what) == 1
