"""Importing files of interactions: the whole way of each, and a raw COPY of the rows it leaves.

Ours reads the lines of a file, parses and validates each, finds or makes its customer, seals its
message, decides, appends in batches, and gives a verdict. The control copies the very rows that
this left (events, pending, identifiers, keys), ready-made, with psycopg in one transaction, into
the same tables for another tenant.
"""

import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from measure import compare, fresh_runtime, per_second, report

from api.files.importing import run_import
from infra.runtime import Runtime

MESSAGES = 10_000
CUSTOMERS = 5_000
MESSAGE = "My parcel has not arrived, although it was promised for Monday. What now?"
NUMBERS = count()

# What an import has left, as another tenant's rows with numbers of their own. `first` is where the
# numbers of the import began, `by` how far those of the copy are from them.
ROWS = {
    "crm.event (seq, tenant, stream, version, type, subject, envelope)": """
        SELECT seq + {by}, 'copy', stream, version, type, subject, envelope
        FROM crm.event WHERE seq > {first} ORDER BY seq
    """,
    "crm.pending (seq, leaf)": """
        SELECT seq + {by}, leaf FROM crm.pending WHERE seq > {first} ORDER BY seq
    """,
    "crm.identifier (tenant, digest, customer)": """
        SELECT 'copy', i.digest, i.customer FROM crm.identifier i JOIN crm.event e
        ON (e.tenant, e.stream, e.version) = (i.tenant, i.customer, 1) WHERE e.seq > {first}
    """,
    "crm_keys.data_key (tenant, subject, grp, id, epoch, wrapped)": """
        SELECT 'copy', k.subject, k.grp, k.id, k.epoch, k.wrapped FROM crm_keys.data_key k
        JOIN crm.event e ON (e.tenant, e.stream, e.version) = (k.tenant, k.subject, 1)
        WHERE e.seq > {first}
    """,
}


def write_file(path: Path, messages: int, customers: Callable[[int], int]) -> None:
    """Write messages that were never sent before."""
    with path.open("wb") as file:
        for number in range(messages):
            data = {
                "customer": {"system": "shop", "id": str(customers(number))},
                "channel": "chat",
                "kind": "message",
                "message": MESSAGE,
            }
            message = {
                "specversion": "1.0",
                "id": str(next(NUMBERS)),
                "source": "/bench",
                "type": "interaction.recorded.v1",
                "time": "2026-01-31T12:00:00Z",
                "data": data,
            }
            file.write(orjson.dumps(message) + b"\n")


def take_in(runtime: Runtime, path: Path) -> None:
    done = run_import(runtime, path, tenant="bench", authid="bench", progress=lambda *_: None)
    if set(done.verdicts) != {"accepted"}:
        raise AssertionError(f"Not everything was taken in: {done.verdicts}")


def last_seq(runtime: Runtime) -> int:
    with runtime.pool.connection() as conn:
        row = conn.execute("SELECT coalesce(max(seq), 0) FROM crm.event").fetchone()
    return int(row[0]) if row else 0


Rows = dict[str, list[tuple[Any, ...]]]


def left_by_import(runtime: Runtime, first: int) -> Rows:
    """Give the rows that an import has left, ready to be copied in again."""
    by = last_seq(runtime) - first
    with runtime.pool.connection() as conn:
        conn.execute("SELECT setval('crm.event_seq_seq', %s)", [first + 2 * by])
        return {
            table: conn.execute(query.format(first=first, by=by), binary=True).fetchall()
            for table, query in ROWS.items()
        }


def copy_in(runtime: Runtime, rows_of: Rows) -> None:
    with runtime.pool.connection() as conn, conn.transaction():
        for table, rows in rows_of.items():
            with conn.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)


class Case:
    """Import a file, and copy what it left; each in its turn."""

    def __init__(self, runtime: Runtime, path: Path, customers: Callable[[int], int]) -> None:
        self.runtime, self.path, self.customers = runtime, path, customers
        self.rows: Rows = {}

    def ours(self) -> float:
        write_file(self.path, MESSAGES, self.customers)
        first = last_seq(self.runtime)
        rate = per_second(MESSAGES, lambda: take_in(self.runtime, self.path))
        self.rows = left_by_import(self.runtime, first)
        return rate

    def control(self) -> float:
        return per_second(MESSAGES, lambda: copy_in(self.runtime, self.rows))


def memory_after(messages: int) -> float:
    """Give the most memory, in MB, that a process needs to import a file of this many messages."""
    command = [sys.executable, __file__, str(messages)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Compare for customers who are known, and for customers who are met."""
    with fresh_runtime() as runtime, TemporaryDirectory() as directory:
        path = Path(directory) / "events.ndjson"
        write_file(path, CUSTOMERS, lambda number: number)
        take_in(runtime, path)
        new = count(CUSTOMERS)
        cases = {
            "known customers": Case(runtime, path, lambda number: number * 7 % CUSTOMERS),
            "new customers": Case(runtime, path, lambda _: next(new)),
        }
        for name, case in cases.items():
            measured = {"ours": case.ours, "raw COPY": case.control}
            compare("import", f"messages/s of {name}", measured, {"raw COPY": 0.15}, turn=False)
    least, most = memory_after(MESSAGES // 2), memory_after(MESSAGES * 5)
    report("import", "MB for ten times the file, against once", most, least, 0.9, 1, less=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with fresh_runtime() as runtime, TemporaryDirectory() as directory:
            path = Path(directory) / "events.ndjson"
            write_file(path, int(sys.argv[1]), lambda number: number * 7 % CUSTOMERS)
            take_in(runtime, path)
            status = Path("/proc/self/status").read_text()
            print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
    else:
        main()
