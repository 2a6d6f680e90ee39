"""The controls built with the `eventsourcing` library, as its manual shows them.

The same facts as ours in an application on the same server, and a projection that makes the same
change to the same columns for each: an upsert and the tracking position in one transaction.
"""

import threading
import time
from functools import singledispatchmethod
from typing import Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL

WRITERS_MAX = 16


class Contact(Aggregate):
    """An interaction: one event, as ours."""

    @event("Recorded")
    def __init__(self, subject: str, channel: str, direction: str, kind: str, message: str):
        self.subject, self.channel, self.direction = subject, channel, direction
        self.kind, self.message = kind, message


class Purchase(Aggregate):
    """A purchase."""

    @event("Recorded")
    def __init__(self, subject: str, amount: int, currency: str):
        self.subject, self.amount, self.currency = subject, amount, currency


class Customers(PostgresTrackingRecorder):
    """A read model with the columns of ours that these facts change."""

    def __init__(self, datastore: Any, **more: Any):
        super().__init__(datastore, **more)
        self.sql_create_statements.append(
            SQL("""
                CREATE TABLE IF NOT EXISTS library_customer_view (
                    key uuid PRIMARY KEY, interactions bigint NOT NULL DEFAULT 0,
                    channels jsonb NOT NULL DEFAULT '{}', purchases bigint NOT NULL DEFAULT 0,
                    items bigint NOT NULL DEFAULT 0, revenue jsonb NOT NULL DEFAULT '{}',
                    last_contact_at timestamptz, last_purchase_at timestamptz, position bigint)
            """)
        )

    def change(self, statement: str, arguments: list[Any], tracking: Tracking) -> None:
        """Make one change and note the position, as the library's examples do."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement, [*arguments, tracking.notification_id], prepare=True)


CONTACT = """
INSERT INTO library_customer_view AS v (key, interactions, channels, last_contact_at, position)
VALUES (%s, 1, jsonb_build_object(%s::text, 1), %s, %s)
ON CONFLICT (key) DO UPDATE SET
    interactions = v.interactions + 1, position = excluded.position,
    channels = v.channels || (SELECT jsonb_object_agg(
        channel, coalesce((v.channels ->> channel)::int, 0) + 1)
        FROM jsonb_object_keys(excluded.channels) AS channel),
    last_contact_at = greatest(v.last_contact_at, excluded.last_contact_at)
"""
PURCHASE = """
INSERT INTO library_customer_view AS v
    (key, purchases, items, revenue, last_purchase_at, last_contact_at, position)
VALUES (%s, 1, 1, jsonb_build_object(%s::text, %s::bigint), %s, %s, %s)
ON CONFLICT (key) DO UPDATE SET
    purchases = v.purchases + 1, items = v.items + 1, position = excluded.position,
    revenue = v.revenue || (SELECT jsonb_object_agg(
        currency, coalesce((v.revenue ->> currency)::bigint, 0) + amount::bigint)
        FROM jsonb_each_text(excluded.revenue) AS each (currency, amount)),
    last_purchase_at = greatest(v.last_purchase_at, excluded.last_purchase_at),
    last_contact_at = greatest(v.last_contact_at, excluded.last_contact_at)
"""


class CustomerProjection(Projection[Customers]):
    """Brings the read model forward, one event a transaction."""

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        raise NotImplementedError

    @process_event.register
    def _(self, happened: Contact.Recorded, tracking: Tracking) -> None:
        self.view.change(
            CONTACT, [happened.subject, happened.channel, happened.timestamp], tracking
        )

    @process_event.register
    def _(self, happened: Purchase.Recorded, tracking: Tracking) -> None:
        at = happened.timestamp
        told = [happened.subject, happened.currency, happened.amount, at, at]
        self.view.change(PURCHASE, told, tracking)


def settings(url: str) -> dict[str, str]:
    """Point the library at a database, with a connection for every writer."""
    at = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(at["dbname"]),
        "POSTGRES_HOST": str(at["host"]),
        "POSTGRES_PORT": str(at.get("port", 5432)),
        "POSTGRES_USER": str(at["user"]),
        "POSTGRES_PASSWORD": str(at.get("password", "")),
        "POSTGRES_POOL_SIZE": str(WRITERS_MAX),
    }


def follow_rate(env: dict[str, str], events: int) -> float:
    """Give the events per second of a runner that follows this many events from the beginning."""
    times: list[float] = []
    done = threading.Event()

    class Counting(CustomerProjection):
        name = "counted"

        def process_event(self, domain_event: Any, tracking: Tracking) -> None:
            super().process_event(domain_event, tracking)
            times.append(time.perf_counter())
            if len(times) == events:
                done.set()

    with ProjectionRunner(
        application_class=Application, projection_class=Counting, view_class=Customers, env=env
    ):
        if not done.wait(120):
            raise TimeoutError("The library's runner did not come to the end.")
    return (events - 1) / (times[events - 1] - times[0])
