"""What is to be played."""

from pathlib import Path
from typing import Any, NamedTuple

APART: dict[str, Any] = {
    "directory": Path(".crm-demo"),
    "database_url": None,
    "keys_database_url": None,
    "master_key_file": None,
    "master_keys": "file",
    "erasure_ledger_file": None,
    "signing_key_file": None,
    "witness_file": None,
    "witness_url": None,
    "kafka_bootstrap_servers": None,
    "tenant": "default",
    "host": "127.0.0.1",
}
"""The settings that keep the demo apart from everything else, whatever the environment says."""


class Plan(NamedTuple):
    """A year is told by its seed and its customers; the rest is how it goes on."""

    seed: int
    customers: int
    minutes: float | None = None
    traffic: bool = True
