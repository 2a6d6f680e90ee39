"""Random commands, made from the types of their fields: a new command needs no line here.

A story is made from a seed and a length, so a failing one is told, and shortened, by two numbers.
"""

import os
from datetime import timedelta
from random import Random
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from commands.agreements import DefineAgreement, ReverseCredit
from commands.cases import OpenCase
from commands.catalogue import ALL
from commands.churn_alerts import (
    CHURN_ALERT_COMMANDS,
    AssignChurnAlert,
    ChoosePlay,
    HoldExitInterview,
    RaiseChurnAlert,
    SettleChurnAlert,
)
from commands.command import ByEmail, ByExternalId, ByPhone, Command
from commands.customers import RegisterCustomer
from commands.leads import CaptureLead
from commands.marks import ReachMark
from commands.retention import (
    RETENTION_COMMANDS,
    Purchases,
    Renewals,
    SetRetentionPolicy,
    Silences,
    Spending,
)
from domain.agreement import Escalation, Promise, Scope
from domain.assessment import Assessment, Reason
from domain.retention_policy import RetentionPolicy
from domain.values import UUID_PATTERN, Label
from tests.desk import PROMISE
from tests.world import NOON, World

EXAMPLES = int(os.environ.get("CRM_TEST_EXAMPLES", "0"))
"""How many random examples each property is tried with; 0 means few, and always the same ones."""

SEEDS = st.integers(0, 2**32 - 1)
LABEL_PATTERN = get_args(Label)[1].pattern
UUIDS = [f"{n}0000000-0000-0000-0000-000000000000" for n in "1234"]
WORDS = ["new", "offer", "web", "gold", "red", "Zoë 🦊", "sales"]
TEXTS = ["", "Hello", "Zoë,\nfine.", "\u202e 🦊"]
DESK = ByExternalId(system="desk", id="1")
NAMES = [
    ByEmail(email="ann@example.org"),
    ByEmail(email="bob@example.org"),
    ByPhone(phone="+49 30 1"),
    ByExternalId(system="shop", id="1"),
]
CUSTOMERS = [*UUIDS[:2], *NAMES]
THINGS = [DESK, DESK, DESK, UUIDS[2], UUIDS[0]]
REFS = {"customer": CUSTOMERS, "customer_id": CUSTOMERS, "lead": THINGS, "case": THINGS}
REFS["agreement"] = [DESK, DESK, UUIDS[3]]
KEEPING = (*RETENTION_COMMANDS, *CHURN_ALERT_COMMANDS)
EVERYDAY = tuple(kind for kind in ALL if kind not in KEEPING)
"""What customers, leads and cases live by; keeping customers has stories of its own."""
EVERYTHING = PROMISE.model_copy(
    update={
        "scope": Scope(everything=True),
        "escalations": (Escalation(on="breached", level=1, team="second", notify=("boss",)),),
    }
)
MADE: dict[object, list[BaseModel]] = {
    Assessment: [
        Assessment(score=n, basis="silence 1", reasons=(Reason(code="a", points=n, numbers={}),))
        for n in (0, 80)
    ],
    RetentionPolicy: [RetentionPolicy(currency="EUR", horizon_weeks=weeks) for weeks in (1, 39)],
    Purchases: [Purchases(model="mbg_nbd", histories=((1, 2.0, 9.0, 3),))],
    Spending: [Spending(model="gamma_gamma", currency="EUR", spends=((2, 900.0),))],
    Silences: [Silences(model="silence", seen=(), seen_share=0.5, asked_share=0.5)],
    Renewals: [
        Renewals(model="sbg", ended=ended, going_on=(0, 0, 0, 382))
        for ended in [(369, 163, 86, 0), (0, 900, 0, 0)]
    ],
    Promise: [PROMISE, EVERYTHING],
}
"""Models whose fields depend on one another, and those that are long to compute with."""
PROLOGUE = (
    DefineAgreement(agreement=DESK, promise=EVERYTHING, applies_from=NOON - timedelta(days=9)),
    *(RegisterCustomer(customer=uuid) for uuid in UUIDS[:2]),
    CaptureLead(lead=DESK, customer=UUIDS[0], source="web"),
    OpenCase(case=DESK, customer=UUIDS[0], channel="email"),
    ReachMark(case=DESK, clock="resolution", instance=1, mark="breached", due=NOON, events=2),
    ReverseCredit(
        agreement=DESK,
        customer=UUIDS[0],
        period="2026-01",
        case=DESK,
        clock="resolution",
        instance=1,
        reason="goodwill",
    ),
    SetRetentionPolicy(policy=RetentionPolicy(currency="EUR")),
    RaiseChurnAlert(
        customer=UUIDS[0],
        alert=UUIDS[3],
        rule="silent",
        policy_version=1,
        assessment=Assessment(score=0, basis="silence 1", reasons=()),
        assessed_at=NOON,
    ),
)
LOST = (
    AssignChurnAlert(customer=UUIDS[0], alert=UUIDS[3], agent="kim"),
    ChoosePlay(customer=UUIDS[0], alert=UUIDS[3], play="voucher", note="Zoë asked for one."),
    SettleChurnAlert(
        customer=UUIDS[0],
        alert=UUIDS[3],
        proof="silence",
        proven_at=NOON + timedelta(weeks=520),
    ),
    HoldExitInterview(
        customer=UUIDS[0],
        alert=UUIDS[3],
        answers={"main_reason": "price"},
        words={"main_reason": "Zoë’s is cheaper."},
    ),
)
"""How the alert of the prologue may end; too long a way to be walked at random."""


def bounded(few: int) -> settings:
    """The bounds of a property: fast and repeatable, unless `CRM_TEST_EXAMPLES` asks for more."""
    return settings(
        max_examples=EXAMPLES or few, derandomize=not EXAMPLES, deadline=None, database=None
    )


def stories(*kinds: type[Command], length: int = 30) -> st.SearchStrategy[World]:
    """A world in which random commands were asked, some about what happened earlier."""
    return st.builds(story, SEEDS, st.integers(0, length), st.just(kinds or EVERYDAY))


def commands(*kinds: type[Command]) -> st.SearchStrategy[Command]:
    """Any command of the given kinds, about few customers, leads and cases, so that they meet."""
    return st.builds(lambda seed: command(Random(seed), kinds or EVERYDAY), SEEDS)


def story(seed: int, length: int, kinds: tuple[type[Command], ...] = EVERYDAY) -> World:
    """Ask random commands of a new world."""
    chance, world = Random(seed), World()
    world.told = f"story({seed}, {length})"
    world.ask_all([(asked, "", None) for asked in PROLOGUE])
    for _ in range(length):
        asked, late = command(chance, kinds), chance.choice([None, 1, 60, 5000])
        world.ask(asked, at=world.now - timedelta(minutes=late) if late else None)
    return world


def command(chance: Random, kinds: tuple[type[Command], ...] = EVERYDAY) -> Command:
    """Make a command with each field of its type; what has a default is often left out."""
    return model(chance, chance.choice(kinds))


def model(chance: Random, kind: type[BaseModel]) -> Any:
    """Make a model."""
    return kind(
        **{
            name: value(chance, Annotated[(field.annotation, *field.metadata, None)])
            for name, field in kind.model_fields.items()
            if field.is_required() or chance.random() < 0.5
        }
    )


def value(chance: Random, annotation: Any) -> Any:
    """Make a value of a type."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return constrained(chance, parts[0], list(flat(parts[1:])))
    if origin in (Union, UnionType):
        return value(chance, chance.choice(parts))
    if origin is Literal:
        return chance.choice(parts)
    if annotation in MADE:
        return chance.choice(MADE[annotation])
    if origin is dict:
        pairs = range(chance.randrange(3))
        return {value(chance, parts[0]): value(chance, parts[1]) for _ in pairs}
    if issubclass(annotation, ByEmail | ByPhone | ByExternalId):
        return chance.choice([name for name in NAMES if isinstance(name, annotation)])
    if issubclass(annotation, BaseModel):
        return model(chance, annotation)
    plain = {bool: [False, True], int: range(-1, 12), type(None): [None], str: TEXTS}
    moments = [NOON + timedelta(minutes=minutes) for minutes in (-5000, 0, 1, 90)]
    return chance.choice({**plain, AwareDatetime: moments}[annotation])


def constrained(chance: Random, base: Any, metadata: list[Any]) -> Any:
    """Make a value of a type with constraints or a marker."""
    refs = [REFS[mark] for mark in metadata if isinstance(mark, str) and mark in REFS]
    patterns = [mark.pattern for mark in metadata if isinstance(mark, StringConstraints)]
    limits = [getattr(mark, end) for end in ("ge", "le") for mark in metadata if hasattr(mark, end)]
    if refs:
        return chance.choice(refs[0])
    if patterns == [UUID_PATTERN]:
        return chance.choice(UUIDS)
    if patterns == [LABEL_PATTERN]:
        return chance.choice(WORDS)
    if patterns == [r"^[A-Z]{3}$"]:
        return chance.choice(["EUR", "JPY"])
    if base is int and len(limits) == 2:
        return chance.choice([*limits, *range(max(limits[0], 0), min(limits[1], 12))])
    return value(chance, base)


def flat(metadata: Any) -> Any:
    """Give the constraints, also those that are wrapped in a `Field`."""
    for mark in metadata:
        if isinstance(mark, FieldInfo):
            yield from flat(mark.metadata)
        else:
            yield mark
