"""The customer view as Pathway's guide builds one: read JSON, group, reduce, snapshot to a table.

It is told the channels and the one currency beforehand, which makes its reduction cheaper. In
static mode it reads what the topic has, as a rebuild does, and writes every row once; in streaming
mode, its default, it goes on as a follower does.
"""

import os
import sys

import pathway as pw

mode, bootstrap, topic, host, port, database, user = sys.argv[1:]


class Event(pw.Schema):
    """The fields of an event that the view needs; some events have only the first three."""

    type: str
    subject: str
    time: str
    channel: str = pw.column_definition(default_value="")
    amount: int = pw.column_definition(default_value=0)


FIELDS = {"channel": "/data/channel", "amount": "/data/amount/amount"}
CHANNELS = ("mail", "chat", "phone", "shop")

events = pw.io.kafka.read(
    {
        "bootstrap.servers": bootstrap,
        "group.id": f"pathway-{os.getpid()}",
        "auto.offset.reset": "earliest",
    },
    topic=topic,
    schema=Event,
    format="json",
    json_field_paths=FIELDS,
    mode=mode,
)
CONTACT, PURCHASE = "interaction.recorded.v1", "customer.purchase_recorded.v1"
facts = events.filter((events.type == CONTACT) | (events.type == PURCHASE))
is_contact, is_purchase = facts.type == CONTACT, facts.type == PURCHASE
marked = facts.select(
    key=facts.subject,
    contact=pw.cast(int, is_contact),
    purchase=pw.cast(int, is_purchase),
    amount=facts.amount,
    time=facts.time,
    bought=pw.if_else(is_purchase, facts.time, ""),
    **{name: pw.cast(int, is_contact & (facts.channel == name)) for name in CHANNELS},
)
counted = marked.groupby(pw.this.key).reduce(
    pw.this.key,
    interactions=pw.reducers.sum(pw.this.contact),
    purchases=pw.reducers.sum(pw.this.purchase),
    revenue=pw.reducers.sum(pw.this.amount),
    last_contact_at=pw.reducers.max(pw.this.time),
    last_purchase_at=pw.reducers.max(pw.this.bought),
    **{name: pw.reducers.sum(pw.this[name]) for name in CHANNELS},
)


@pw.udf
def channels(mail: int, chat: int, phone: int, shop: int) -> pw.Json:
    """Give the counts by channel, without those that are nought."""
    counts = zip(CHANNELS, (mail, chat, phone, shop), strict=True)
    return pw.Json({name: count for name, count in counts if count})


@pw.udf
def revenues(amount: int, purchases: int) -> pw.Json:
    """Give the sums by currency."""
    return pw.Json({"EUR": amount} if purchases else {})


@pw.udf
def instant(text: str) -> pw.DateTimeUtc | None:
    """Read an instant; none is none."""
    return pw.DateTimeUtc(text) if text else None


view = counted.select(
    pw.this.key,
    pw.this.interactions,
    channels=channels(pw.this.mail, pw.this.chat, pw.this.phone, pw.this.shop),
    purchases=pw.this.purchases,
    items=pw.this.purchases,
    revenue=revenues(pw.this.revenue, pw.this.purchases),
    last_contact_at=instant(pw.this.last_contact_at),
    last_purchase_at=instant(pw.this.last_purchase_at),
)
pw.io.postgres.write(
    view,
    {
        "host": host,
        "port": port,
        "dbname": database,
        "user": user,
        "password": os.environ["PGPASSWORD"],
    },
    "peer_customer_view",
    output_table_type="snapshot",
    primary_key=[view.key],
)
print("ready", flush=True)
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
