"""The certificate of an erasure: what was done, signed, with what could still open it and where.

It names nobody but those who work here, and nothing of the customer but ids.
"""

from datetime import timedelta
from typing import Any

import orjson

from infra.audit.tree import EVENTS
from infra.runtime import Runtime
from infra.settings import INBOUND_DAYS

EPOCHS = """
SELECT epoch, dies_at, destroyed_at FROM crm_keys.epoch WHERE epoch = ANY(%s) ORDER BY epoch
"""
CHECKPOINTS = "SELECT projection, version, position FROM crm.checkpoint WHERE partition = -1"

NEWS = "customer.erased.v1"
HOUSEKEEPING = timedelta(days=2)
"""A segment of the inbound topic is a day long, and Kafka clears up every few minutes."""


def certified(runtime: Runtime, told: dict[str, Any]) -> str:
    """Sign what was done, with the tree as it is now and the epochs that could still open it."""
    epochs = sorted({key["epoch"] for key in told["keys"]})
    with runtime.keys.connection() as conn:
        rows = conn.execute(EPOCHS, [epochs]).fetchall()
    with runtime.pool.connection() as conn:
        checkpoints = conn.execute(CHECKPOINTS).fetchall()
    head = runtime.audit.trees[EVENTS].head()
    told |= {
        "epochs": [{"epoch": e, "dies_at": dies, "destroyed_at": at} for e, dies, at in rows],
        "read_models": {f"{name}_v{version}": at for name, version, at in checkpoints},
        "checkpoint": head.note if head else None,
    }
    text = orjson.dumps(told, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode()
    return runtime.audit.signer.sign("certificate", text)


def told_to(runtime: Runtime) -> dict[str, Any]:
    """Tell who hears of it: whoever follows the log or a read model, by an event of its own."""
    chosen, models = runtime.settings, [*runtime.tables]
    told: dict[str, Any] = {"event": NEWS, "change_feeds": models}
    if chosen.kafka_bootstrap_servers is not None:
        topics = ("events", *(f"read.{name}" for name in models))
        gone = timedelta(days=INBOUND_DAYS) + HOUSEKEEPING
        told["topics"] = [f"{chosen.kafka_prefix}.{name}" for name in topics]
        told["inbound_topic_forgets_by"] = runtime.ports.now() + gone
    return told
