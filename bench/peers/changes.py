"""What the peers that are programmed in Python share: the change an event makes, and the upsert."""

import json
from typing import Any

Row = dict[str, Any]
COLUMNS = (
    "key", "interactions", "channels", "purchases", "items", "revenue",
    "last_contact_at", "last_purchase_at",
)  # fmt: skip
UPSERT = (
    f"INSERT INTO public.peer_customer_view ({', '.join(COLUMNS)})"
    f" VALUES ({', '.join('%s' for _ in COLUMNS)}) ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
)
WANTED = ("interaction.recorded.v1", "customer.purchase_recorded.v1")


def fresh() -> Row:
    """Give the row of a customer of whom nothing is known yet."""
    return {
        "interactions": 0, "channels": {}, "purchases": 0, "items": 0, "revenue": {},
        "last_contact_at": "-infinity", "last_purchase_at": "-infinity",
    }  # fmt: skip


def change(row: Row, event: dict[str, Any]) -> Row:
    """Bring a row forward by an event, in place."""
    data, at = event["data"], event["time"]
    if event["type"] == "interaction.recorded.v1":
        channel = data["channel"]
        row["interactions"] += 1
        row["channels"][channel] = row["channels"].get(channel, 0) + 1
    else:
        amount, currency = data["amount"]["amount"], data["amount"]["currency"]
        row["purchases"] += 1
        row["items"] += 1
        row["revenue"][currency] = row["revenue"].get(currency, 0) + amount
        row["last_purchase_at"] = max(row["last_purchase_at"], at)
    row["last_contact_at"] = max(row["last_contact_at"], at)
    return row


def values(key: str, row: Row) -> list[Any]:
    """Give the parameters of the upsert."""
    told = {**row, "key": key}
    return [json.dumps(v) if isinstance(v, dict) else v for v in (told[name] for name in COLUMNS)]
