"""Every field of every event is either declared not personal by its type, or sealed."""

from collections.abc import Iterator
from datetime import date, timedelta
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest
from pydantic import AwareDatetime, BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from domain.catalogue import EVENTS
from domain.customer import ProfileChanged
from domain.events import Event
from domain.personal import ContactText, ContentText, Group, IdentityText, personal_fields
from domain.values import Label, Money

FIELDS = [(event, name) for event in EVENTS.values() for name in event.model_fields]
HARMLESS = (int, float, bool, date, timedelta, AwareDatetime, type(None), Money)


def loose_text(annotation: object) -> Iterator[object]:
    """The parts of a type that take any text: a `str` without a pattern."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        patterns = [m.pattern for m in parts[1:] if isinstance(m, StringConstraints)]
        if parts[0] is str and not any(patterns):
            yield annotation
        elif parts[0] is not str:
            yield from loose_text(parts[0])
    elif origin in (Union, UnionType, tuple, dict):
        for part in parts:
            yield from loose_text(part) if part is not Ellipsis else ()
    elif annotation not in HARMLESS and isinstance(annotation, type(BaseModel)):
        for field in annotation.model_fields.values():
            yield from loose_text(whole(field))
    elif origin is not Literal and annotation not in HARMLESS:
        yield annotation


def whole(field: FieldInfo) -> object:
    """The type of a field with its constraints."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


@pytest.mark.parametrize(("event", "name"), FIELDS, ids=lambda each: getattr(each, "name", each))
def test_a_field_that_takes_any_text_is_personal(event: type[Event], name: str):
    annotation = whole(event.model_fields[name])
    assert name in event.personal or list(loose_text(annotation)) == []


def test_a_loose_text_is_found_wherever_it_hides():
    class Inner(BaseModel):
        numbers: dict[str, float]

    class Inside(BaseModel):
        text: str

    hidden = [str, str | None, Annotated[str, "harmless"], dict[str, str], Label | str, Inner]
    hidden += [tuple[Inner, ...], tuple[str, ...], dict[Label, str], Inside, tuple[Inside, ...]]
    assert all(list(loose_text(annotation)) for annotation in hidden)


def test_the_marker_is_found_when_the_field_may_be_missing():
    class Note(BaseModel):
        plain: Label
        sure: ContactText
        maybe: ContentText | None = None
        wrapped: Annotated[IdentityText | None, "something else"] = None

    assert personal_fields(Note) == {"sure": "contact", "maybe": "content", "wrapped": "identity"}


def test_everything_in_a_profile_but_the_kind_is_personal():
    assert set(ProfileChanged.personal.values()) == {"identity"}
    assert set(ProfileChanged.model_fields) - set(ProfileChanged.personal) <= {"kind"}


def test_a_group_is_one_of_the_four_that_have_keys():
    used = {group for event in EVENTS.values() for group in event.personal.values()}
    assert used <= set(get_args(Group))
