"""What was promised about a case: by which calendar, which clocks run, and how far they may go.

A clock is started, paused, resumed and stopped by what happens to the case. `first_response`,
`next_response`, `update` and `resolution` are built in; any other clock declares its own triggers.
"""

import json
import marshal
from datetime import timedelta
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from domain.calendar import Calendar
from domain.rejected import Rejected
from domain.values import Label, Priority

Repeat = Literal["never", "independent", "sequential"]
"""`independent`: each start is a new instance. `sequential`: each period follows the one before."""

KINDS = frozenset(
    (
        "opened",
        "categorised",
        "priority_changed",
        "assigned",
        "customer_wrote",
        "agent_answered",
        "waiting",
        "resumed",
        "escalated",
        "resolved",
        "reopened",
        "closed",
        "linked",
    )
)
"""What happens to a case, as triggers name it: `case.customer_wrote.v1` is `customer_wrote`."""

Verb = Literal["start", "pause", "resume", "stop", "cancel", "revive"]
VERBS: tuple[Verb, ...] = get_args(Verb)

Trigger = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(=.{1,120})?$")]
"""What happens to a case, or only with a value: `waiting`, `waiting=customer`, `assigned=team a`"""

Duration = Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=3660))]


class Model(BaseModel):
    """A part of what is promised."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Triggers(Model):
    """What moves a clock."""

    start: tuple[Trigger, ...]
    pause: tuple[Trigger, ...] = ()
    resume: tuple[Trigger, ...] = ()
    stop: tuple[Trigger, ...]
    cancel: tuple[Trigger, ...] = ("closed", "linked=duplicates")
    revive: tuple[Trigger, ...] = ("reopened",)
    """Takes a cancelled clock up again; the time in between does not count."""
    revive_fulfilled: bool = False
    """Whether that also takes up a clock that had reached its end."""
    after: Label | None = None
    """Another clock, which must have been fulfilled before this one starts."""
    repeat: Repeat = "never"

    def verbs(self, kind: str, value: str) -> frozenset[Verb]:
        """Tell what something that happens does to the clock, because of its value or without."""
        either = (kind, f"{kind}={value}")
        return frozenset(verb for verb in VERBS if any(t in either for t in getattr(self, verb)))

    def all(self) -> set[str]:
        """Give everything that may move the clock."""
        return {trigger for verb in VERBS for trigger in getattr(self, verb)}

    @model_validator(mode="after")
    def _are_known(self) -> "Triggers":
        unknown = {trigger.partition("=")[0] for trigger in self.all()} - KINDS
        if unknown:
            raise Rejected("agreement.trigger", f"Nothing that happens is named {min(unknown)!r}.")
        if not self.start or not self.stop:
            raise Rejected("agreement.trigger", "A clock must be started and stopped by something.")
        return self


DONE = ("resolved", "closed", "linked=duplicates")

BUILT_IN: dict[str, Triggers] = {
    "first_response": Triggers(start=("opened",), stop=("agent_answered",), cancel=DONE),
    "next_response": Triggers(
        start=("customer_wrote",),
        stop=("agent_answered",),
        cancel=DONE,
        after="first_response",
        repeat="independent",
    ),
    "update": Triggers(
        start=("opened",),
        pause=("waiting",),
        resume=("resumed",),
        stop=("agent_answered",),
        cancel=DONE,
        repeat="sequential",
    ),
    "resolution": Triggers(
        start=("opened",),
        pause=("waiting",),
        resume=("resumed",),
        stop=("resolved",),
        revive_fulfilled=True,
    ),
}


class WarnAt(Model):
    """When to warn: after so much working time, or after a share of the target."""

    after: Duration | None = None
    percent: Annotated[int, Field(ge=1, le=99)] | None = None

    @model_validator(mode="after")
    def _says_when(self) -> "WarnAt":
        if (self.after is None) == (self.percent is None):
            raise Rejected("agreement.warning", "A warning says either `after` or `percent`.")
        return self


class ClockRule(Model):
    """A clock: what moves it, and how much working time it may take at each priority."""

    clock: Label
    targets: dict[Priority, Duration]
    """A priority that is missing has no target: the time is taken, and nothing was promised."""
    warnings: tuple[WarnAt, ...] = ()
    critical_percent: Annotated[int, Field(ge=100, le=10_000)] | None = None
    """The share of the target beyond which a breach is a critical failure."""
    triggers: Triggers | None = None

    @model_validator(mode="after")
    def _can_run(self) -> "ClockRule":
        if self.triggers is None and self.clock not in BUILT_IN:
            known = ", ".join(BUILT_IN)
            raise Rejected(
                "agreement.clock_unknown",
                f"The clock {self.clock!r} must say what starts and stops it; built in: {known}.",
            )
        if not self.targets:
            raise Rejected("agreement.no_target", f"The clock {self.clock!r} has no target.")
        if self.moves.repeat == "sequential" and not all(self.targets.values()):
            raise Rejected("agreement.no_period", "A period that repeats cannot be empty.")
        return self

    @property
    def moves(self) -> Triggers:
        """What moves the clock."""
        return self.triggers or BUILT_IN[self.clock]

    def limits(self, period: timedelta) -> list[tuple[str, timedelta]]:
        """Give the marks of a period and the working time that leads beyond each, least first."""
        found = [("breached", period)]
        for warning in self.warnings:
            if warning.percent is not None:
                found.append((f"warned:{warning.percent}%", period * warning.percent / 100))
            elif warning.after is not None and warning.after < period:
                found.append((f"warned:{warning.after}", warning.after))
        if self.critical_percent is not None:
            found.append(("critical", period * self.critical_percent / 100))
        return sorted(found, key=itemgetter(1))


Moving = tuple[tuple[ClockRule, frozenset[Verb]], ...]
"""Clocks, and what is done to each."""


class Terms(Model):
    """All that the clocks of a case go by. A case keeps the terms that it was matched with."""

    calendar: Calendar
    clocks: tuple[ClockRule, ...]
    forgotten_after: Duration | None = None
    """The working time for which a clock may be paused before it counts as forgotten, if any."""

    @model_validator(mode="after")
    def _are_clear(self) -> "Terms":
        names = [rule.clock for rule in self.clocks]
        if not names or len(set(names)) < len(names):
            raise Rejected("agreement.clocks", "Each clock is named once, and there is one.")
        for rule in self.clocks:
            if rule.moves.after is not None and rule.moves.after not in names:
                raise Rejected(
                    "agreement.clock_missing",
                    f"{rule.clock!r} starts after {rule.moves.after!r}, which is missing.",
                )
        return self

    @cached_property
    def rules(self) -> dict[str, ClockRule]:
        """Give the clocks by their names."""
        return {rule.clock: rule for rule in self.clocks}

    def moving(self, kind: str, value: str) -> Moving:
        """Give the clocks that something moves, and how, in the order in which they are told."""
        found = self._moving.get((kind, value))
        return self._moving.get((kind, ""), ()) if found is None else found

    @cached_property
    def _moving(self) -> dict[tuple[str, str], Moving]:
        """Lay out what every kind of fact moves, and what it moves with the values that matter."""
        named = {trigger for rule in self.clocks for trigger in rule.moves.all()} | KINDS
        return {
            (kind, value): tuple(
                (rule, verbs) for rule in self.clocks if (verbs := rule.moves.verbs(kind, value))
            )
            for kind, _, value in (trigger.partition("=") for trigger in named)
        }

    @cached_property
    def written(self) -> str:
        """Give the terms as JSON without what goes without saying: rows keep them so."""
        return self.model_dump_json(exclude_defaults=True)


@lru_cache(maxsize=1024)
def terms_of(text: str) -> Terms:
    """Read terms; few agreements serve many cases, and their calendars are laid out once."""
    return Terms.model_validate_json(text)


def shared(given: object) -> object:
    """Read terms that came as JSON by their content, so that equal ones are the same object."""
    if not isinstance(given, dict):
        return given
    held = marshal.dumps(given)  # as a key, in a tenth of the time of JSON
    found = HELD.get(held)
    if found is None:
        if len(HELD) >= HELD_MAX:
            HELD.clear()
        found = HELD[held] = terms_of(json.dumps(given))
    return found


HELD: dict[bytes, Terms] = {}
HELD_MAX = 1024

SharedTerms = Annotated[Terms, BeforeValidator(shared)]
"""The terms of many cases: read once, not once for each case."""
