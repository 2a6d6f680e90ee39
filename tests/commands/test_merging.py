"""Random merges, unmerges and other commands: who stands for whom stays a forest, always."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from commands.command import ByExternalId
from commands.customers import (
    AddIdentifier,
    ChangeStage,
    MergeCustomer,
    RegisterCustomer,
    RemoveIdentifier,
    UnmergeCustomer,
)
from tests.strategies import bounded
from tests.world import World

IDS = [f"{n:08x}-0000-0000-0000-000000000000" for n in range(1, 7)]
NAMES = [ByExternalId(system="shop", id=name) for name in "abc"]
ids, names = st.sampled_from(IDS), st.sampled_from(NAMES)


class Merging(RuleBasedStateMachine):
    """Plays against a model that only remembers who points to whom."""

    def __init__(self):
        super().__init__()
        self.world, self.into, self.owner = World(), {}, {}
        for customer in IDS:
            self.world.ask(RegisterCustomer(customer=customer))

    @rule(customer=ids, into=ids)
    def merge(self, customer, into):
        verdict = self.world.ask(MergeCustomer(customer=customer, into=into, reason="same"))
        already = self.into.get(customer) == into
        allowed = customer != into and customer not in self.into and into not in self.into
        assert (verdict.status == "accepted") == (allowed or already)
        assert len(verdict.events) == (2 if allowed else 0)
        if allowed:
            self.into[customer] = into

    @rule(customer=ids)
    def unmerge(self, customer):
        verdict = self.world.ask(UnmergeCustomer(customer=customer, reason="mistake"))
        assert verdict.status == "accepted"
        assert len(verdict.events) == (2 if customer in self.into else 0)
        self.into.pop(customer, None)

    @rule(customer=ids, name=names)
    def add_identifier(self, customer, name):
        verdict = self.world.ask(AddIdentifier(customer=customer, identifier=name))
        if self.owner.get(name.id, customer) == customer:
            self.owner[name.id] = customer
        else:
            assert verdict.code == "customer.identifier_taken"

    @rule(customer=ids, name=names)
    def remove_identifier(self, customer, name):
        self.world.ask(RemoveIdentifier(customer=customer, identifier=name))
        if self.owner.get(name.id) == customer:
            del self.owner[name.id]

    @rule(name=names)
    def work_with_whom_a_name_leads_to(self, name):
        if name.id in self.owner:
            verdict = self.world.ask(ChangeStage(customer=name, stage="friend"))
            assert {event.stream for event in verdict.events} <= {self.owner[name.id]}

    @invariant()
    def the_links_are_those_of_the_model(self):
        customers = {customer: self.world.state(customer) for customer in IDS}
        assert {c.id: c.merged_into for c in customers.values() if c.merged_into} == self.into
        for customer in customers.values():
            assert customer.absorbed == {c for c, into in self.into.items() if into == customer.id}

    @invariant()
    def every_way_ends_at_somebody_who_stands_for_themselves(self):
        for customer in IDS:
            way = [customer]
            while way[-1] in self.into:
                way.append(self.into[way[-1]])
                assert len(way) == len(set(way))


Merging.TestCase.settings = bounded(30)


class TestMerging(Merging.TestCase):
    """Run by pytest under a name of its own."""
