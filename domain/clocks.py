"""The clocks of a case: a pure function of its terms and of what happened, in order of happening.

A target is breached if and only if the working time used exceeds it. Used up exactly is in time,
and so is all of the closed time that follows: the deadline is the next opening. Every verdict
follows from the times of events; nothing here knows what time it is now.

What changes under way never changes what was before: time used stays used. A new priority or new
terms give a running clock another target from that instant on. A breach stays a breach, even when
a later target is longer.
"""

from collections.abc import Iterable, Mapping, Set
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from domain.calendar import NOTHING
from domain.sla import DEFAULT
from domain.terms import ClockRule, Terms, Verb
from domain.values import Priority

State = Literal["running", "paused", "fulfilled", "cancelled"]


class Fact(NamedTuple):
    """Something that happened to a case, as far as clocks care: `waiting`, `customer`."""

    at: datetime
    kind: str
    value: str = ""


class Happened(NamedTuple):
    """A change of a clock: activated, paused, resumed, retargeted, fulfilled and so on."""

    kind: str
    at: datetime
    reason: str


class Passed(NamedTuple):
    """A mark that the working time went beyond, and when: `warned:50%`, `breached`, `critical`."""

    mark: str
    at: datetime


class Clock(NamedTuple):
    """One instance of a clock: one promise, kept or broken. Pauses do not make it another one."""

    name: str
    instance: int
    state: State = "running"
    target: timedelta | None = None
    grace: timedelta = NOTHING
    """What an earlier period left over (or overdrew): it goes on top of the target."""
    used: timedelta = NOTHING
    """The working time of all closed intervals."""
    since: datetime | None = None
    """While it runs: since when; while it is paused: since when it is."""
    deadline: datetime | None = None
    """The last instant in time while it runs, and what that was when it came to its end."""
    intervals: tuple[tuple[datetime, datetime], ...] = ()
    passed: tuple[Passed, ...] = ()
    history: tuple[Happened, ...] = ()

    @property
    def breached_at(self) -> datetime | None:
        """When the target was broken, as far as the history goes."""
        for mark, at in self.passed:
            if mark == "breached":
                return at
        return None

    @property
    def is_forgotten(self) -> bool:
        """Whether it came to its end out of a pause that was longer than anybody should wait."""
        return self.state == "fulfilled" and any(h.kind == "forgotten" for h in self.history[-2:])


class Service(NamedTuple):
    """A case as its clocks see it."""

    terms: Terms = DEFAULT
    priority: Priority = "normal"
    opened_at: datetime | None = None
    is_open: bool = False
    clocks: tuple[Clock, ...] = ()
    reached: Mapping[str, datetime] = MappingProxyType({})
    """The marks that were acted upon already, `resolution/1/breached`, and their instants."""

    def current(self, name: str) -> Clock | None:
        """Give the newest instance of a clock."""
        for clock in reversed(self.clocks):
            if clock.name == name:
                return clock
        return None


def serve(facts: Iterable[tuple[Fact, Terms | None]]) -> Service:
    """Take what happened into account, in order of happening; terms come with `matched`."""
    service = Service()
    for fact, terms in facts:
        service = after(service, fact, terms)
    return service


def after(service: Service, fact: Fact, terms: Terms | None = None) -> Service:
    """Give the clocks after one more thing that happened."""
    match fact.kind:
        case "matched" if terms is not None:
            return rematched(service, terms, fact)
        case "mark_reached":
            return service._replace(reached={**service.reached, fact.value: fact.at})
        case "opened":
            priority = as_priority(fact.value)
            service = service._replace(priority=priority, opened_at=fact.at, is_open=True)
        case "reopened":
            service = service._replace(is_open=True)
        case "resolved" | "closed":
            service = service._replace(is_open=False)
        case "priority_changed":
            service = retargeted(service._replace(priority=as_priority(fact.value)), fact)
    for rule, verbs in service.terms.moving(fact.kind, fact.value):
        service = moved(service, rule, verbs, fact)
    return service


def as_priority(value: str) -> Priority:
    """Read a priority; an event was checked before it became a fact."""
    return PRIORITIES[value]


PRIORITIES: dict[str, Priority] = {known: known for known in get_args(Priority)}


# ---- One clock, one fact -------------------------------------------------------------------------


def moved(service: Service, rule: ClockRule, verbs: Set[Verb], fact: Fact) -> Service:
    """Let a fact start, pause, resume, stop, cancel or revive a clock."""
    clock = service.current(rule.clock)
    if clock is None or (clock.state in ENDED and rule.moves.repeat == "independent"):
        if "start" in verbs and may_start(service, rule):
            return put(service, begun(service, rule, fact, fact.kind))
        if clock is None:
            return service
    if clock.state in ENDED:
        revives = clock.state == "cancelled" or rule.moves.revive_fulfilled
        if revives and "revive" in verbs:
            return put(service, going_on(service, clock, fact))
        return service
    if "stop" in verbs:
        return stopped(service, rule, clock, fact)
    if "cancel" in verbs:
        return put(service, ended(service, clock, fact, "cancelled"))
    if clock.state == "running" and "pause" in verbs:
        until = settled(service, clock, fact.at)
        return put(service, noted(until, "paused", fact, state="paused", since=fact.at))
    if clock.state == "paused" and "resume" in verbs:
        return put(service, going_on(service, clock, fact))
    return service


ENDED = ("fulfilled", "cancelled")


def may_start(service: Service, rule: ClockRule) -> bool:
    """Tell whether the clock that must come first has been fulfilled."""
    if rule.moves.after is None:
        return True
    first = service.current(rule.moves.after)
    return first is not None and first.state == "fulfilled"


def begun(
    service: Service, rule: ClockRule, fact: Fact, reason: str, grace: timedelta = NOTHING
) -> Clock:
    """Begin the next instance of a clock."""
    before = service.current(rule.clock)
    target = target_of(rule, service.priority, grace)
    instance = before.instance + 1 if before else 1
    fresh = Clock(rule.clock, instance, target=target, grace=grace)
    return running(service, fresh, fact, "activated", reason)


def going_on(service: Service, clock: Clock, fact: Fact) -> Clock:
    """Let a paused or ended clock run again; the time in between does not count."""
    return running(service, forgotten(service, clock, fact.at), fact, "resumed")


def running(service: Service, clock: Clock, fact: Fact, kind: str, reason: str = "") -> Clock:
    """Let a clock run from now on, and say until when it is in time."""
    deadline = clock.breached_at
    if deadline is None and clock.target is not None:
        left = max(clock.target - clock.used, NOTHING)
        deadline = service.terms.calendar.after(fact.at, left)
    return noted(clock, kind, fact, reason, state="running", since=fact.at, deadline=deadline)


def settled(service: Service, clock: Clock, at: datetime) -> Clock:
    """Close the interval of a running clock, and note which marks were passed in it."""
    if clock.state != "running" or clock.since is None:
        return clock
    start, calendar = clock.since, service.terms.calendar
    used = clock.used + calendar.between(start, at)
    passed = clock.passed
    for mark, limit in marks(service, clock):
        if used > limit and all(mark != known for known, _ in passed):
            when = calendar.after(start, max(limit - clock.used, NOTHING))
            passed = (*passed, Passed(mark, when))
    intervals = (*clock.intervals, (start, at)) if start < at else clock.intervals
    return Clock(
        clock.name, clock.instance, clock.state, clock.target, clock.grace, used, None, None,
        intervals, passed, clock.history,
    )  # fmt: skip


def judged(service: Service, clock: Clock, at: datetime) -> Clock:
    """Give a clock as it stands at an instant, with the time used and the marks passed by then."""
    if clock.state != "running" or clock.since is None or at <= clock.since:
        return clock
    until = settled(service, clock, at)
    return clock._replace(used=until.used, passed=until.passed)


def stopped(service: Service, rule: ClockRule, clock: Clock, fact: Fact) -> Service:
    """Bring a clock to its end; a sequential one goes on where its target was."""
    if rule.moves.repeat != "sequential":
        return put(service, ended(service, clock, fact, "fulfilled"))
    used = clock.used
    if clock.state == "running" and clock.since is not None:
        used += service.terms.calendar.between(clock.since, fact.at)
    if clock.target is None or used < clock.grace:
        return service  # the period that this would fulfil has not begun
    period, over = clock.target - clock.grace, used - clock.target
    grace = -over if over < NOTHING else -(over % period)
    service = put(service, ended(service, clock, fact, "fulfilled"))
    return put(service, begun(service, rule, fact, "next period", grace))


def ended(service: Service, clock: Clock, fact: Fact, state: State) -> Clock:
    """Bring a clock to its end, fulfilled or cancelled."""
    over = forgotten(service, settled(service, clock, fact.at), fact.at)
    return noted(over, state, fact, state=state, since=None, deadline=clock.deadline)


def forgotten(service: Service, clock: Clock, at: datetime) -> Clock:
    """Note when a pause that is over now had become too long."""
    due = pause_limit(service, clock)
    if due is None or at <= due:
        return clock
    return clock._replace(history=(*clock.history, Happened("forgotten", due, "paused too long")))


def pause_limit(service: Service, clock: Clock) -> datetime | None:
    """Give the instant after which a paused clock counts as forgotten."""
    limit = service.terms.forgotten_after
    if clock.state != "paused" or clock.since is None or limit is None:
        return None
    return service.terms.calendar.after(clock.since, limit)


# ---- Other targets -------------------------------------------------------------------------------


def retargeted(service: Service, fact: Fact) -> Service:
    """Give every clock that is not over the target of the new priority."""
    for rule in service.terms.clocks:
        clock = service.current(rule.clock)
        if clock is not None and clock.state not in ENDED:
            clock = settled(service, clock, fact.at)
            reason = f"priority {service.priority}"
            service = put(service, aim(service, rule, clock, fact, reason))
    return service


def rematched(service: Service, terms: Terms, fact: Fact) -> Service:
    """Go by other terms from now on; at the very opening, as if there had been no others."""
    if service.opened_at == fact.at and not any(clock.history[1:] for clock in service.clocks):
        return after(Service(terms), Fact(fact.at, "opened", service.priority))
    following = service._replace(terms=terms)
    for rule in terms.clocks:
        clock = service.current(rule.clock)
        if clock is not None and clock.state not in ENDED:
            clock = settled(service, clock, fact.at)
            following = put(following, aim(following, rule, clock, fact, "agreement"))
        elif clock is None and service.is_open and "opened" in rule.moves.start:
            following = put(following, begun(following, rule, fact, "agreement"))
    promised = {rule.clock for rule in terms.clocks}
    for clock in service.clocks:
        if clock.name not in promised and clock.state not in ENDED:
            following = put(following, ended(service, clock, fact, "cancelled"))
    return following


def aim(now: Service, rule: ClockRule, settled_clock: Clock, fact: Fact, reason: str) -> Clock:
    """Give a settled clock another target and calendar; what it used until now stays used."""
    clock, target = settled_clock, target_of(rule, now.priority, settled_clock.grace)
    clock = clock._replace(target=target)
    if target is not None and clock.used > target and clock.breached_at is None:
        clock = clock._replace(passed=(*clock.passed, Passed("breached", fact.at)))
    if clock.state == "paused":
        return noted(clock, "retargeted", fact, reason, state="paused", since=clock.since)
    return running(now, clock, fact, "retargeted", reason)


def target_of(rule: ClockRule, priority: Priority, grace: timedelta) -> timedelta | None:
    """Give the target at a priority, None if there is none."""
    target = rule.targets.get(priority)
    return None if target is None else target + grace


def marks(service: Service, clock: Clock) -> list[tuple[str, timedelta]]:
    """Give the amounts of working time beyond which something follows, the least first."""
    rule = service.terms.rules.get(clock.name)
    if rule is None or clock.target is None:
        return []
    limits = rule.limits(clock.target - clock.grace)
    return [(mark, clock.grace + limit) for mark, limit in limits]


# ---- What will be due ----------------------------------------------------------------------------


class Due(NamedTuple):
    """Something that has to follow from a clock, and the instant after which it has to."""

    at: datetime
    clock: str
    instance: int
    mark: str

    @property
    def key(self) -> str:
        """Name it: it happens once."""
        return f"{self.clock}/{self.instance}/{self.mark}"


def dues(service: Service) -> list[Due]:
    """Give all that was not acted upon yet, the next first.

    Of a clock that is over only the breach still matters: nobody is warned of what is done.
    """
    found = [
        Due(at, clock.name, clock.instance, mark)
        for clock in service.clocks
        for mark, at in ahead(service, clock)
    ]
    return sorted(due for due in found if due.key not in service.reached)


def ahead(service: Service, clock: Clock) -> list[tuple[str, datetime]]:
    """Give the marks of a clock, those that it passed and those that it will if nothing happens."""
    if clock.state in ENDED:
        return [(mark, at) for mark, at in clock.passed if not mark.startswith("warned")]
    calendar, passed = service.terms.calendar, list(clock.passed)
    if clock.since is None:
        return list(passed)
    if clock.state == "paused":
        limit = pause_limit(service, clock)
        return [*passed] if limit is None else [*passed, ("forgotten", limit)]
    known = {mark for mark, _ in passed}
    coming = [
        (mark, calendar.after(clock.since, max(limit - clock.used, NOTHING)))
        for mark, limit in marks(service, clock)
        if mark not in known
    ]
    return [*passed, *coming]


def put(service: Service, clock: Clock) -> Service:
    """Replace an instance of a clock, or add it."""
    terms, priority, opened_at, is_open, clocks, reached = service
    for number, known in enumerate(clocks):
        if known.instance == clock.instance and known.name == clock.name:
            clocks = (*clocks[:number], clock, *clocks[number + 1 :])
            return Service(terms, priority, opened_at, is_open, clocks, reached)
    return Service(terms, priority, opened_at, is_open, (*clocks, clock), reached)


def noted(
    clock: Clock,
    kind: str,
    fact: Fact,
    reason: str = "",
    *,
    state: State,
    since: datetime | None,
    deadline: datetime | None = None,
) -> Clock:
    """Change a clock, and keep what changed it, when, and by what."""
    reason = reason or f"{fact.kind} {fact.value}".strip()
    return Clock(
        clock.name, clock.instance, state, clock.target, clock.grace, clock.used, since, deadline,
        clock.intervals, clock.passed, (*clock.history, Happened(kind, fact.at, reason)),
    )  # fmt: skip
