"""The mapping of a file: which columns become which events. Written in TOML; see docs/mapping.md.

This file says what a mapping may say. `api/files/mapper.py` is what a mapping does to a row.
"""

import re
import tomllib
from collections.abc import Iterator
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from api.files.rows import Layout, Model
from commands.catalogue import BY_EVENT, BY_NAME
from commands.cloudevents import Attribute
from commands.words import said
from domain.lead import Pipeline, PipelineStage
from domain.rejected import Rejected
from domain.values import Label, Percent

PLACE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")
"""A doubled brace, a name in braces, or a brace that is a mistake."""

TIME_FORMATS = ("iso", "unix", "unix_ms", "excel")
"""Formats with a name; every other one is a pattern of `strptime`."""


def names_in(template: str) -> list[str]:
    """Give the names that a template asks for. Raises `ValueError` when a brace is alone."""
    found = []
    for match in PLACE.finditer(template):
        if match[0] in "{}":
            raise ValueError("a brace is alone; write {{ or }} for the character itself")
        if match[1]:
            found.append(match[1])
    return found


def checked_template(template: str) -> str:
    """Check that the braces of a template are in order."""
    names_in(template)
    return template


def texts_in(data: object) -> Iterator[str]:
    """Give the texts in a piece of data, however deep."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        yield from (text for value in data.values() for text in texts_in(value))
    elif isinstance(data, list):
        yield from (text for value in data for text in texts_in(value))


def checked_texts(data: dict[str, Any]) -> dict[str, Any]:
    """Check the templates in a piece of data."""
    for text in texts_in(data):
        names_in(text)
    return data


def known_format(form: str) -> str:
    """Check a time format."""
    if form not in TIME_FORMATS:
        try:
            datetime.strptime("", form)  # noqa: DTZ007 - only its form matters
        except ValueError as error:
            if "does not match" not in str(error):
                raise
    return form


Template = Annotated[str, AfterValidator(checked_template)]
"""Text with names of fields and columns in braces: `Case {Case ID}`."""

TimeFormat = Annotated[str, AfterValidator(known_format)]
Name = Annotated[str, Field(min_length=1)]
Separator = Annotated[str, Field(max_length=1)]

# ---- Conditions ----------------------------------------------------------------------------------


class Matches(Model):
    """A text in which a regular expression finds something."""

    matches: re.Pattern[str]


def branch_of_wanted(wanted: object) -> str:
    """Tell which kind of condition is meant; in brackets, so that errors do not name it."""
    return "(pattern)" if isinstance(wanted, (dict, Matches)) else "(texts)"


Texts = Annotated[
    tuple[str, ...], BeforeValidator(lambda one: [one] if isinstance(one, str) else one)
]
Wanted = Annotated[
    Annotated[Texts, Tag("(texts)")] | Annotated[Matches, Tag("(pattern)")],
    Discriminator(branch_of_wanted),
]
Condition = dict[Name, Wanted]
"""Names and what each must be: a text, one of several, or a pattern. All of them must hold."""

# ---- Fields --------------------------------------------------------------------------------------


class TextField(Model):
    """A text made of columns: found, translated, or replaced when it is empty."""

    as_: Literal["text"] = Field("text", alias="as")
    from_: Template = Field(alias="from")
    find: re.Pattern[str] | None = None
    map: dict[str, str] | None = None
    lookup: str | None = None
    take: str | None = None
    other: Template | None = None
    empty: Template | None = None

    @model_validator(mode="after")
    def _translates_once(self) -> Self:
        if self.map is not None and self.lookup is not None:
            raise ValueError("`map` and `lookup` exclude each other")
        if (self.lookup is None) != (self.take is None):
            raise ValueError("`lookup` says which file and `take` which of its columns: give both")
        if self.other is not None and self.map is None and self.lookup is None:
            raise ValueError("`other` is for values that a `map` or `lookup` does not know")
        return self


class IntegerField(TextField):
    """A whole number."""

    as_: Literal["integer"] = Field(alias="as")  # type: ignore[assignment]
    decimal: Separator = "."
    thousands: Separator = ""


class MoneyField(TextField):
    """An amount of money, converted exactly to minor units (cents)."""

    as_: Literal["money"] = Field(alias="as")  # type: ignore[assignment]
    currency: Template
    unit: Literal["major", "minor"] = "major"
    decimal: Separator = "."
    thousands: Separator = ""
    times: Template | None = None
    rounding: Literal["half_up", "half_even"] | None = None


class TimeField(TextField):
    """An instant; local times are of a zone. A date alone means its first moment, or `at`."""

    as_: Literal["time"] = Field(alias="as")  # type: ignore[assignment]
    formats: Annotated[tuple[TimeFormat, ...], Field(min_length=1)] = ("iso",)
    zone: ZoneInfo | None = None
    at: time = time(0)


def branch_of_field(field: object) -> str:
    """Tell which kind of field is meant; in brackets, so that errors do not name it."""
    return f"({field.get('as', 'text')})" if isinstance(field, dict) else "(text)"


AnyField = Annotated[
    Annotated[TextField, Tag("(text)")]
    | Annotated[IntegerField, Tag("(integer)")]
    | Annotated[MoneyField, Tag("(money)")]
    | Annotated[TimeField, Tag("(time)")],
    Discriminator(
        branch_of_field,
        custom_error_type="as",
        custom_error_message="`as` is text, integer, money or time",
    ),
]

# ---- The rest ------------------------------------------------------------------------------------


class Lookup(Layout):
    """A second file, small enough for memory, whose rows are found by one column."""

    file: str
    key: Name


class Stage(Model):
    """A stage of a pipeline, with its chance of winning in percent."""

    name: Label
    probability: Percent


Stages = Annotated[tuple[Stage, ...], Field(min_length=1)]


class EventSpec(Model):
    """An event that a row gives, if its conditions hold."""

    type: str
    label: Annotated[str, Field(pattern=r"^[a-z0-9_.-]{1,60}$")] | None = None
    when: Condition = Field(default_factory=dict)
    unless: Condition = Field(default_factory=dict)
    once: tuple[Name, ...] = ()
    time: Template | None = None
    data: Annotated[dict[str, Any], AfterValidator(checked_texts)]

    @model_validator(mode="after")
    def _is_understood(self) -> Self:
        command = BY_EVENT.get(self.type) or BY_NAME.get(self.type)
        if command is None:
            raise ValueError(f"nothing is known about events of type {self.type!r}")
        known = command.model_fields
        if unknown := ", ".join(sorted(self.data.keys() - known.keys())):
            raise ValueError(f"{self.type} has no {unknown}; it has {', '.join(known)}")
        required = {name for name, field in known.items() if field.is_required()}
        if missing := ", ".join(sorted(required - self.data.keys())):
            raise ValueError(f"{self.type} needs {missing} in its data")
        return self

    @property
    def name(self) -> str:
        """Give what tells the events of a row apart."""
        return self.label or self.type


class Mapping(Model):
    """What a mapping file says."""

    source: Attribute
    zone: ZoneInfo | None = None
    file: Layout = Layout()
    key: tuple[Name, ...] = ()
    repeats: bool = False
    skip: tuple[Condition, ...] = ()
    lookups: dict[str, Lookup] = Field(default_factory=dict)
    fields: dict[str, AnyField] = Field(default_factory=dict)
    pipelines: dict[Label, Stages] = Field(default_factory=dict)
    events: Annotated[tuple[EventSpec, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        labels = [event.name for event in self.events]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"events: several are {twice[0]}; give each a `label` of its own")
        if self.repeats and not self.key:
            raise ValueError("repeats: only with `key`; without one, repeated rows count anyway")
        for name, field in self.fields.items():
            if field.lookup is not None and field.lookup not in self.lookups:
                raise ValueError(f"fields.{name}: there is no lookup {field.lookup!r}")
            if isinstance(field, TimeField) and self.zone is None and field.zone is None:
                self._needs_no_zone(name, field)
        for number, event in enumerate(self.events, 1):
            self._is_time(f"events.{number}.time", event.time)
        return self

    def _needs_no_zone(self, name: str, field: TimeField) -> None:
        for form in field.formats:
            if form == "excel" or (form not in TIME_FORMATS and "%z" not in form):
                raise ValueError(f"fields.{name}: times like {form!r} are local; give a `zone`")

    def _is_time(self, place: str, template: str | None) -> None:
        if template is None:
            return
        names = names_in(template)
        one = template == "{" + names[0] + "}" if names else False
        if not one or not isinstance(self.fields.get(names[0]), TimeField):
            raise ValueError(f'{place}: must be one field with as = "time", in braces')

    def all_pipelines(self) -> list[Pipeline]:
        """Give the sales pipelines that the events need."""
        return [
            Pipeline(name, tuple(PipelineStage(stage.name, stage.probability) for stage in stages))
            for name, stages in self.pipelines.items()
        ]


def load(path: Path) -> Mapping:
    """Read a mapping file; raises `Rejected` saying what is wrong with it and where."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Rejected("mapping.unreadable", f"{path} cannot be read: {why}.") from None
    return parse(text)


def parse(text: str) -> Mapping:
    """Make a mapping of its text; raises `Rejected`."""
    try:
        return Mapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise Rejected("mapping.not_toml", f"The mapping is not TOML: {error}.") from None
    except ValidationError as error:
        raise Rejected("mapping.invalid", f"The mapping is wrong. {in_words(error)}") from None


def in_words(error: ValidationError) -> str:
    """Say what is wrong and where; events count from 1, as people do."""
    told = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        parts = [part + 1 if isinstance(part, int) else part for part in fault["loc"]]
        place = ".".join(str(p) for p in parts if not str(p).startswith("("))
        told.append(f"{place}: {said(fault)}" if place else said(fault))
    return "; ".join(told[:5]) + "."
