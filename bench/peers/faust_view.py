"""The customer view as Faust's guide builds one: an agent that keeps a table in memory.

The rows that changed within a second, 5,000 at most, are written in one transaction.
"""

import os
import sys

import faust
import psycopg
from changes import UPSERT, WANTED, Row, change, fresh, values

ROWS = 5_000
bootstrap, topic, host, port, database, user = sys.argv[1:]
app = faust.App(
    f"faust-{os.getpid()}",
    broker=f"kafka://{bootstrap}",
    store="memory://",
    topic_partitions=4,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    stream_wait_empty=False,
)
events = app.topic(topic, key_type=bytes, value_type=None, value_serializer="json")
views = app.Table("views", default=fresh, partitions=4)
changed: dict[str, Row] = {}
conn = psycopg.connect(f"host={host} port={port} dbname={database} user={user}")


@app.agent(events)
async def follow(stream: faust.Stream) -> None:
    """Bring rows forward, and write those of some time at once."""
    async for event in stream:
        if event["type"] in WANTED:
            key = event["subject"]
            views[key] = changed[key] = change(views[key], event)
            if len(changed) >= ROWS:
                write()


@app.timer(interval=1.0)
async def write_rest() -> None:
    """Write what has changed in the last second."""
    write()


def write() -> None:
    """Write the rows that changed in one transaction."""
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(UPSERT, [values(*item) for item in changed.items()])
    changed.clear()


print("ready", flush=True)
faust.Worker(app, loglevel="ERROR").execute_from_commandline()
