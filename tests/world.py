"""A CRM in memory: the real write path, on a store that only remembers.

`tests/commands/test_store_contract.py` holds this store and the one on PostgreSQL to the same
promises.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from uuid import UUID

from commands.command import Command
from commands.execute import execute
from commands.ports import Answer, Batch, Request, StaleStream, Verdict, Who
from commands.session import Ports, Stream, after
from domain.lead import Pipeline, PipelineStage
from infra.keys.keyring import DataKey, Slot
from infra.store.envelope import decode, encode

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SALES = Pipeline("sales", (PipelineStage("new", 10), PipelineStage("offer", 60)))


class MemoryStore:
    """Implements `commands.ports.EventStore`."""

    def __init__(self):
        self.streams, self.kept_answers, self.kept_owners = {}, {}, {}
        self.log = []

    def append(self, batch: Batch) -> int:
        taken = {
            (e.tenant, e.stream): len(self.streams.get((e.tenant, e.stream), ()))
            for e in batch.events
        }
        claimed = {i for i, owner in batch.owners.items() if owner and i not in batch.owners_before}
        if (
            any(e.version <= taken[e.tenant, e.stream] for e in batch.events)
            or any((batch.tenant, c) in self.kept_answers for c in batch.answers)
            or any((batch.tenant, i) in self.kept_owners for i in claimed)
        ):
            raise StaleStream
        for event in batch.events:
            self.streams.setdefault((event.tenant, event.stream), []).append(event)
            self.log.append(event)
        for commandid, answer in batch.answers.items():
            kept = answer._replace(token=len(self.log) if batch.events else 0)
            self.kept_answers[batch.tenant, commandid] = kept
        for identifier, owner in batch.owners.items():
            self.kept_owners.pop((batch.tenant, identifier), None)
            if owner is not None:
                self.kept_owners[batch.tenant, identifier] = owner
        return len(self.log) if batch.events else 0

    def load(self, tenant, streams):
        return {s: list(self.streams[tenant, s]) for s in streams if (tenant, s) in self.streams}

    def subjects(self, tenant, streams):
        return {s: events[0].subject for s, events in self.load(tenant, streams).items()}

    def answers(self, tenant, commandids) -> dict[str, Answer]:
        found = {c: self.kept_answers.get((tenant, c)) for c in commandids}
        return {c: answer for c, answer in found.items() if answer}

    def token(self, tenant, facts):
        return max(
            (n for n, e in enumerate(self.log, 1) if e.tenant == tenant and e.stream in facts),
            default=0,
        )

    def owners(self, tenant, identifiers):
        found = {i: self.kept_owners.get((tenant, i)) for i in identifiers}
        return {i: owner for i, owner in found.items() if owner}

    def fingerprint(self, tenant, command: Command) -> bytes:
        return f"{tenant} {command.name} {command.model_dump_json()}".encode()

    def agreements(self, tenant):
        mine = {
            stream: events for (owner, stream), events in self.streams.items() if owner == tenant
        }
        return {s: list(told) for s, told in mine.items() if told[0].type.startswith("agreement.")}

    def pipelines(self, tenant):
        return {SALES.name: SALES}


class Keys(dict):
    """A key for every slot, always the same."""

    def __missing__(self, slot: Slot) -> DataKey:
        secret = sha256(f"{slot.subject}{slot.group}".encode()).digest()
        self[slot] = DataKey.of(secret[:16], secret)
        return self[slot]


class World:
    """Asks commands of a fresh store; its clock goes a second forward with each, its ids count."""

    def __init__(self, store=None):
        self.now, self.asked = NOON, count(1)
        self.ids = count(1)
        self.ports = Ports(store or MemoryStore(), lambda: self.now, self.new_id)
        self.who, self.keys = Who("acme", "tests"), Keys()
        self.told, self.envelopes = "World()", []

    def __repr__(self) -> str:
        return self.told

    @property
    def store(self) -> MemoryStore:
        return self.ports.store

    def new_id(self) -> str:
        return str(UUID(int=(0xF << 124) + next(self.ids)))

    def ask(self, command: Command, commandid: str = "", at: datetime | None = None) -> Verdict:
        return self.ask_all([(command, commandid, at)])[0]

    def ask_all(self, asked) -> list[Verdict]:
        self.now += timedelta(seconds=1)
        requests = [
            Request(command, commandid or str(UUID(int=(0xC << 124) + next(self.asked))), at)
            for command, commandid, at in asked
        ]
        return execute(requests, self.who, self.ports)

    def history(self):
        """Everything that happened, as the log tells it: personal data sealed and closed."""
        new = self.store.log[len(self.envelopes) :]
        self.envelopes += [encode(recorded, self.keys) for recorded in new]
        return [decode(envelope, position) for position, envelope in enumerate(self.envelopes, 1)]

    def state(self, stream: str):
        """What the events of a stream amount to."""
        state = Stream(0, None)
        for recorded in self.store.load(self.who.tenant, [stream]).get(stream, ()):
            state = after(stream, state, recorded.event)
        return state.state
