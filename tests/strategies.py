"""Random commands, made from the types of their fields: a new command needs no line here."""

from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from commands.catalogue import ALL
from commands.command import ByEmail, ByExternalId, Command
from domain.values import UUID_PATTERN, Label
from tests.world import NOON

LABEL_PATTERN = get_args(Label)[1].pattern
UUIDS = [f"{n}0000000-0000-0000-0000-000000000000" for n in "12345"]
WORDS = st.sampled_from(["new", "offer", "web", "gold", "red", "Zoë 🦊", "sales"])
TEXTS = st.sampled_from(["", "Hello", "Zoë,\nfine.", "\u202e 🦊"])
CUSTOMERS = st.one_of(
    st.sampled_from(UUIDS[:2]),
    st.sampled_from([ByEmail(email=f"{name}@example.org") for name in "abcd"]),
    st.sampled_from([ByExternalId(system="shop", id=n) for n in "12"]),
)
THINGS = st.sampled_from([UUIDS[2], ByExternalId(system="desk", id="1"), UUIDS[0]])
REFS = {"customer": CUSTOMERS, "customer_id": CUSTOMERS, "lead": THINGS, "case": THINGS}
INSTANTS = st.integers(-1000, 1000).map(lambda minutes: NOON + timedelta(minutes=minutes))


def commands(kinds: tuple[type[Command], ...] = ALL) -> st.SearchStrategy[Command]:
    """Any command of the given kinds, about few customers, leads and cases, so that they meet."""
    return st.one_of([model(kind) for kind in kinds])


def model(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    """A model with each field of its type; what has a default is often left out."""
    needed, optional = {}, {}
    for name, field in kind.model_fields.items():
        strategy = of(Annotated[(field.annotation, *field.metadata, None)])
        (needed if field.is_required() else optional)[name] = strategy
    return st.fixed_dictionaries(needed, optional=optional).map(lambda given: kind(**given))


def of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a type."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return constrained(parts[0], list(flat(parts[1:])))
    if origin in (Union, UnionType):
        return st.one_of([of(part) for part in parts])
    if origin is Literal:
        return st.sampled_from(parts)
    if origin is dict:
        return st.dictionaries(of(parts[0]), of(parts[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return model(annotation)
    plain = {bool: st.booleans(), int: st.integers(-1, 12), type(None): st.none()}
    return {**plain, str: TEXTS, AwareDatetime: INSTANTS}[annotation]


def constrained(base: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Values of a type with constraints or a marker."""
    refs = [REFS[mark] for mark in metadata if isinstance(mark, str) and mark in REFS]
    patterns = [mark.pattern for mark in metadata if isinstance(mark, StringConstraints)]
    limits = [getattr(mark, end) for end in ("ge", "le") for mark in metadata if hasattr(mark, end)]
    if refs:
        return refs[0]
    if base is str and UUID_PATTERN in patterns:
        return st.sampled_from(UUIDS)
    if base is str and LABEL_PATTERN in patterns:
        return WORDS
    if base is str and patterns and "*" not in patterns[0]:
        return st.from_regex(patterns[0], fullmatch=True)
    if base is int and len(limits) == 2:
        return st.sampled_from(limits) | st.integers(limits[0], min(limits[1], 12))
    return of(base)


def flat(metadata: Any) -> Any:
    """Constraints, also those that are wrapped in a `Field`."""
    for mark in metadata:
        if isinstance(mark, FieldInfo):
            yield from flat(mark.metadata)
        else:
            yield mark
