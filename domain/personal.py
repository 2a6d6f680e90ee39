"""Personal data: how a field is marked, and what is read in its place when it is closed.

A field is personal when its annotation carries a `Personal` marker. All personal fields of one
group are sealed together under the key of the customer whom the event is about; destroying that
key is how a person is forgotten. Free text is personal unless declared otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, InstanceOf
from pydantic.json_schema import SkipJsonSchema

Group = Literal["identity", "contact", "content", "payment"]
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True, slots=True)
class Personal:
    """Marks a field as personal data of a group; each group has a key of its own."""

    group: Group


@dataclass(frozen=True, slots=True)
class Redacted:
    """Stands for a personal value: `sealed` (the reader holds no key) or `erased` (nobody does)."""

    reason: Literal["sealed", "erased"] = "sealed"
    certificate: str | None = None

    def __str__(self) -> str:
        return f"[{self.reason}]"


def known(value: object) -> object:
    """Give what can be read; a closed value is as good as unknown."""
    return None if isinstance(value, Redacted) else value


Closed = SkipJsonSchema[InstanceOf[Redacted]]

IdentityText = Annotated[str | Closed, Personal("identity")]
ContactText = Annotated[str | Closed, Personal("contact")]
ContentText = Annotated[str | Closed, Personal("content")]
ContentFields = Annotated[dict[str, str] | Closed, Personal("content")]
IdentityFields = Annotated[dict[str, str] | Closed, Personal("identity")]


def personal_fields(model: type[BaseModel]) -> dict[str, Group]:
    """The personal fields of a model and the group of each."""
    return {
        name: marker.group
        for name, field in model.model_fields.items()
        for marker in (*field.metadata, *inner_metadata(field.annotation))
        if isinstance(marker, Personal)
    }


def inner_metadata(annotation: object) -> Iterator[object]:
    """Give the markers inside an annotation: in `ContactText | None` they are one level down."""
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from inner_metadata(part)
