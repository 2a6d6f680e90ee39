"""The customer view as this project builds it from the topic: one follower, as in `crm follow`.

It writes all columns and indexes of the read model, and its checkpoint with them.
"""

import gc
import sys
import threading

from psycopg.conninfo import make_conninfo

from consumers.follow_kafka import follow_kafka
from infra.database import pool
from infra.ids import uuid7
from infra.kafka.log import KafkaLog
from infra.read_models.tables import Table
from projections.customer_view import customer_view

bootstrap, topic, host, port, database, user = sys.argv[1:]
gc.set_threshold(50_000, 20, 20)  # as `open_runtime` does
print("ready", flush=True)
with pool(make_conninfo(host=host, port=port, dbname=database, user=user)) as connections:
    table = Table(connections, customer_view, topic)
    follow_kafka(KafkaLog(bootstrap, uuid7(), None, topic), table, threading.Event())
