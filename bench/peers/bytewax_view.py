"""The customer view as Bytewax's guide builds one: its Kafka source, keyed state, a custom sink.

The state is kept by batches, so that a row that changes often is handed on once a batch; the sink
writes the last state of every row of a batch in one transaction.
"""

import sys
from collections.abc import Iterable
from typing import Any

import orjson
import psycopg
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import cluster_main
from changes import UPSERT, WANTED, Row, change, fresh, values

bootstrap, topic, host, port, database, user = sys.argv[1:]
URL = f"host={host} port={port} dbname={database} user={user}"


class View(StatefulBatchLogic):
    """The row of one customer."""

    def __init__(self, row: Row | None) -> None:
        self.row = row or fresh()

    def on_batch(self, values: list[dict[str, Any]]) -> tuple[Iterable[Row], bool]:
        """Apply the events of a batch."""
        for event in values:
            change(self.row, event)
        return [self.row], StatefulBatchLogic.RETAIN

    def snapshot(self) -> Row:
        """Give what to go on from."""
        return {
            **self.row,
            "channels": {**self.row["channels"]},
            "revenue": {**self.row["revenue"]},
        }


class Writer(StatelessSinkPartition):
    """Writes rows by batches."""

    def __init__(self) -> None:
        self.conn = psycopg.connect(URL)

    def write_batch(self, items: list[tuple[str, Row]]) -> None:
        """Write the last state of each row."""
        last = dict(items)
        with self.conn.transaction(), self.conn.cursor() as cursor:
            cursor.executemany(UPSERT, [values(*item) for item in last.items()])


class Sink(DynamicSink):
    """A writer for every worker."""

    def build(self, *_: object) -> Writer:
        """Give a worker its writer."""
        return Writer()


flow = Dataflow("customer_view")
source = KafkaSource([bootstrap], [topic], tail=True, batch_size=5_000)
messages = op.input("topic", flow, source)
events = op.map("parsed", messages, lambda message: orjson.loads(message.value))
wanted = op.filter("wanted", events, lambda event: event["type"] in WANTED)
keyed = op.key_on("keyed", wanted, lambda event: event["subject"])
rows = op.stateful_batch("rows", keyed, View)
op.output("table", rows, Sink())

print("ready", flush=True)
cluster_main(flow, [], 0)
