"""Names and templates of a mapping, made into functions of a row before the first row is read."""

from collections.abc import Callable, Sequence
from typing import Any

from api.files.mapping import PLACE, Condition, Matches, names_in, texts_in
from domain.rejected import Rejected


class Scope:
    """A row's cells, and what its fields have come to so far."""

    __slots__ = ("cells", "known")

    def __init__(self, cells: Sequence[str]) -> None:
        self.cells = cells
        self.known: dict[str, Any] = {}


Get = Callable[[Scope], Any]
"""Gives a value of a row; None when it is empty."""


class Names:
    """What templates may name: fields, then columns, then columns by number (`#3`)."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        self.fields: dict[str, Get] = {}

    def get(self, name: str, place: str) -> Get:
        """Find what a name stands for."""
        if name in self.fields:
            return self.fields[name]
        count = self.columns.count(name)
        if count == 1:
            return cell(self.columns.index(name))
        if count > 1:
            numbers = [f"#{n}" for n, column in enumerate(self.columns, 1) if column == name]
            sentence = f"several columns are called {name!r}: say which, {' or '.join(numbers)}"
            raise Rejected("mapping.column_ambiguous", f"{place}: {sentence}.")
        if name.startswith("#") and name[1:].isdecimal() and 0 < int(name[1:]) <= len(self.columns):
            return cell(int(name[1:]) - 1)
        known = ", ".join(self.columns)
        sentence = f"there is no field or column {name!r}; the columns are: {known}"
        raise Rejected("mapping.column_unknown", f"{place}: {sentence}.")


def cell(number_: int) -> Get:
    """Give the cell of a column."""
    return lambda scope: scope.cells[number_] or None


def text_of(value: object) -> str:
    """Give a value as it is compared and put together with others."""
    return "" if value is None else str(value)


def template(text: str, names: Names, place: str) -> Get:
    """Make a function of a template. One name alone keeps its type; all empty is nothing."""
    asked = [names.get(name, place) for name in names_in(text)]
    if not asked:
        constant = text.replace("{{", "{").replace("}}", "}")
        return lambda _: constant
    if len(asked) == 1 and PLACE.fullmatch(text):
        return asked[0]
    # The constant parts, with the doubled braces undone; what is asked for goes between them.
    parts = PLACE.sub(lambda m: "\0" if m[1] else m[0][0], text).split("\0")

    def fill(scope: Scope) -> str | None:
        values = [get(scope) for get in asked]
        if all(value is None for value in values):
            return None
        filled = (part + text_of(v) for part, v in zip(parts, [*values, None], strict=True))
        return "".join(filled).strip()

    return fill


def condition(wanted: Condition, names: Names, place: str) -> Callable[[Scope], bool]:
    """Make a function of a condition."""
    tests = [(names.get(name, f"{place}.{name}"), each) for name, each in wanted.items()]

    def holds(scope: Scope) -> bool:
        return all(
            each.matches.search(text_of(get(scope))) is not None
            if isinstance(each, Matches)
            else text_of(get(scope)) in each
            for get, each in tests
        )

    return holds


def leaf(value: Any, names: Names, place: str) -> Get:  # noqa: ANN401 - whatever TOML can say
    """Make a function of a piece of data: templates are filled, the rest is as it is."""
    if isinstance(value, str):
        return template(value, names, place)
    if isinstance(value, dict):
        return branch({k: leaf(v, names, f"{place}.{k}") for k, v in value.items()}, value)
    if isinstance(value, list):
        items = [leaf(item, names, f"{place}.{n}") for n, item in enumerate(value, 1)]
        return lambda scope: [v for get in items if (v := get(scope)) is not None]
    return lambda _: value


def branch(parts: dict[str, Get], written: dict[str, Any]) -> Get:
    """Make a function of an object. What is empty is left out; so is one of nothing but that."""
    asked = [name for name, value in written.items() if any(map(names_in, texts_in(value)))]

    def build(scope: Scope) -> dict[str, Any] | None:
        built = {name: v for name, get in parts.items() if (v := get(scope)) is not None}
        return built if not asked or any(name in built for name in asked) else None

    return build
