"""Which tier or segment a customer belongs to, and who would move if the rules were applied."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from domain.customer_value import Member
from domain.retention_policy import Condition, Grouping, Rule, TopShare


class Move(NamedTuple):
    """A customer who belongs elsewhere now, and the numbers that say so."""

    customer: str
    before: str | None
    after: str
    numbers: Mapping[str, float]


def belonging(grouping: Grouping, members: Sequence[Member]) -> dict[str, str]:
    """Give the group of every customer; the order in which they come does not matter."""
    limits = {
        rule.name: threshold(rule.top, members) for rule in grouping.rules if rule.top is not None
    }
    return {
        member.features.customer: next(
            (rule.name for rule in grouping.rules if fits(rule, member, limits)),
            grouping.otherwise,
        )
        for member in members
    }


def moves(
    grouping: Grouping, members: Sequence[Member], now: Mapping[str, str | None]
) -> list[Move]:
    """Tell who would move: a dry run, which changes nothing."""
    names = sorted({name for rule in grouping.rules for name in features_of(rule)})
    by_customer = {member.features.customer: member for member in members}
    return [
        Move(customer, now.get(customer), after, told(by_customer[customer], names))
        for customer, after in sorted(belonging(grouping, members).items())
        if now.get(customer) != after
    ]


def fits(rule: Rule, member: Member, limits: Mapping[str, float | None]) -> bool:
    """Tell whether a customer meets all of a rule."""
    if not all(holds(condition, member) for condition in rule.all_of):
        return False
    if rule.top is None:
        return True
    limit, value = limits[rule.name], member.number(rule.top.feature)
    return limit is not None and value is not None and value >= limit


def holds(condition: Condition, member: Member) -> bool:
    """Tell whether a feature lies in a range."""
    value = member.number(condition.feature)
    if value is None:
        return False
    enough = condition.at_least is None or value >= condition.at_least
    return enough and (condition.at_most is None or value <= condition.at_most)


def threshold(top: TopShare, members: Sequence[Member]) -> float | None:
    """Give the value from which on a customer is among the first.

    Those who are above are fewer than the share; equal ones at the edge are all in.
    """
    values = sorted((v for m in members if (v := m.number(top.feature)) is not None), reverse=True)
    if not values:
        return None
    wanted = -(-len(values) * top.percent // 100)
    return values[max(0, int(wanted) - 1)]


def features_of(rule: Rule) -> list[str]:
    """Give the features that a rule asks for."""
    asked = [condition.feature for condition in rule.all_of]
    return asked if rule.top is None else [*asked, rule.top.feature]


def told(member: Member, names: Sequence[str]) -> dict[str, float]:
    """Give the numbers of a customer that can be told."""
    return {name: value for name in names if (value := member.number(name)) is not None}
