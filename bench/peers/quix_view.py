"""The customer view as Quix Streams' guide builds one: a stateful function and its PostgreSQL sink.

The topic is keyed by customer already, so nothing is grouped anew. A commit a second, as the sink
writes a batch at each commit.
"""

import json
import os
import sys
from typing import Any

from changes import COLUMNS, WANTED, Row, change, fresh
from quixstreams import Application, State
from quixstreams.sinks.community.postgresql import PostgreSQLSink

bootstrap, topic, host, port, database, user = sys.argv[1:]
group = f"quix-{os.getpid()}"
app = Application(
    broker_address=bootstrap,
    consumer_group=group,
    auto_offset_reset="earliest",
    commit_interval=1.0,
    loglevel="ERROR",
    state_dir="state",
)
sink = PostgreSQLSink(
    host=host, port=int(port), dbname=database, user=user,
    password=os.environ["PGPASSWORD"],
    table_name="peer_customer_view", primary_key_columns="key", upsert_on_primary_key=True,
    include_metadata=False, schema_auto_update=False,
)  # fmt: skip


def apply(event: dict[str, Any], state: State) -> Row:
    """Bring the state of a customer forward; gives the row as the sink writes it."""
    row = change(state.get("row") or fresh(), event)
    state.set("row", row)
    told = {**row, "key": event["subject"]}
    return {
        name: json.dumps(told[name]) if isinstance(told[name], dict) else told[name]
        for name in COLUMNS
    }


events = app.dataframe(app.topic(topic, value_deserializer="json", key_deserializer="str"))
events = events.filter(lambda event: event["type"] in WANTED)
events = events.apply(apply, stateful=True)
events.sink(sink)
print("ready", flush=True)
app.run()
