"""What a compacted topic says about a row: all that is shown elsewhere, and nothing more."""

from types import SimpleNamespace
from uuid import uuid4

import orjson

from commands.cases import OpenCase
from commands.execute import execute
from commands.ports import Request, Who
from infra.kafka import announced
from infra.kafka.announced import Announcement
from infra.kafka.topics import TopicNames
from projections.sla_clocks import sla_clocks
from tests.desk import ANN, case


class Producer:
    """Takes everything, like a broker that is well."""

    def __init__(self, **_: object) -> None:
        self.values: list[bytes] = []

    def send(self, _topic: str, *, value: bytes, **_: object) -> SimpleNamespace:
        self.values.append(value)
        return SimpleNamespace(succeeded=lambda: True)

    def flush(self) -> None:
        pass


def test_a_topic_holds_no_column_that_is_shown_to_nobody(runtime, catch_up, monkeypatch):
    asked = Request(OpenCase(case=case(1), customer=ANN, channel="mail"), str(uuid4()))
    execute([asked], Who("acme", "tests"), runtime.ports)
    catch_up()
    monkeypatch.setattr(announced, "KafkaProducer", Producer)
    announcement = Announcement(runtime.tables, "sla_clocks", "nowhere", TopicNames(), "tests")
    assert announcement.lease.take()
    assert announcement.announce()
    (row,) = map(orjson.loads, announcement._producer.values)
    inner = {name for name, column in sla_clocks.columns.items() if column.inner}
    assert inner == {"facts"}
    assert row.keys() == {"tenant", "key", *sla_clocks.columns, "position"} - inner
    assert row["clocks"]
