"""Files come in whole, once, with a verdict for every item; broken items stop nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.files.importing import run_import
from api.files.mapping import parse
from api.files.occurrences import Occurrences
from commands.ingest import take_in
from commands.ports import Busy
from domain.lead import Pipeline, PipelineStage
from domain.rejected import Rejected
from infra.runtime import Runtime

PURCHASES = """
source = "shop"
zone = "UTC"
[fields]
at = { from = "{day}", as = "time" }
paid = { from = "{paid}", as = "money", currency = "EUR" }
[[events]]
type = "customer.purchase_recorded.v1"
time = "{at}"
data.customer = { system = "shop", id = "{who}" }
data.amount = "{paid}"
"""


class Importer:
    """Imports as a tenant of its own, and counts what is kept."""

    def __init__(self, runtime: Runtime, tenant: str, directory: Path) -> None:
        self.runtime, self.tenant, self.directory = runtime, tenant, directory

    def take(self, content: bytes | str, mapping: str | None = None, **options: Any) -> Any:
        path = self.directory / "file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        parsed = parse(mapping) if mapping else None
        options = {"tenant": self.tenant, "authid": "test", "mapping": parsed} | options
        return run_import(self.runtime, path, **options)

    def kept(self, type_: str = "") -> int:
        query = "SELECT count(*) FROM crm.event WHERE tenant = %s AND type LIKE %s"
        with self.runtime.pool.connection() as conn:
            return conn.execute(query, [self.tenant, f"{type_}%"]).fetchone()[0]

    def refused(self) -> Counter[str]:
        nobody = "00000000-0000-0000-0000-000000000000"
        return Counter(m.code for m in self.runtime.refused.page(self.tenant, nobody, 1000))


@pytest.fixture
def importer(runtime: Runtime, request: pytest.FixtureRequest, tmp_path: Path) -> Importer:
    return Importer(runtime, request.node.name[:60], tmp_path)


def click(number: int, **changed: Any) -> str:
    event = {
        "specversion": "1.0",
        "id": str(number),
        "source": "web",
        "type": "interaction.recorded.v1",
        "time": "2026-01-01T00:00:00Z",
        "data": {
            "customer": {"system": "web", "id": f"v{number % 7}"},
            "channel": "web",
            "kind": "visit",
        },
    }
    return json.dumps(event | changed)


def clicks(count: int) -> str:
    return "".join(click(number) + "\n" for number in range(count))


# ---- CloudEvents, one a line ---------------------------------------------------------------------


def test_every_line_is_an_event_and_comes_in_once(importer):
    first = importer.take(clicks(50), batch=8)
    again = importer.take(clicks(60), batch=50)
    assert (first.rows, first.items, first.verdicts) == (50, 50, {"accepted": 50})
    assert again.verdicts == {"duplicate": 50, "accepted": 10}
    assert importer.kept("interaction.") == 60
    assert first.clean
    assert first.events == 50 + 2 * 7  # seven visitors are met
    assert first.types == {"interaction.recorded.v1": 50}
    assert again.token > first.token > 0


def test_broken_lines_are_told_and_kept_and_stop_nothing(importer):
    lines = [
        click(1).encode(),
        b"{not json",
        b"",
        click(2, type="nothing.known.v1").encode(),
        b'"a text"',
        click(3, data={"channel": "web"}).encode(),
        b"\xff\xfe",
        click(1, data={"customer": {"email": "a@b.example"}, "channel": "c", "kind": "k"}).encode(),
        b"x" * (1 << 20),
        click(4, time="2126-01-01T00:00:00Z").encode(),
        click(5).encode(),
    ]
    report = importer.take(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    assert report.verdicts == {"accepted": 2, "rejected": 7, "conflict": 1}
    assert [fault.line for fault in report.faults] == [2, 4, 5, 6, 7, 8, 9, 10]
    assert report.codes["message.not_json"] == 1
    assert report.codes["row.too_long"] == 1
    assert report.codes["row.undecodable"] == 1
    assert report.empty == 1
    assert not report.clean
    assert importer.refused() == report.codes
    assert importer.kept("interaction.") == 2


def test_an_empty_file_is_nothing(importer):
    report = importer.take("")
    assert (report.rows, report.items, report.clean) == (0, 0, True)


def test_batches_hold_no_more_than_fits_into_memory(importer, monkeypatch):
    sizes = []
    monkeypatch.setattr("api.files.importing.BATCH_BYTES_MAX", 1000)
    monkeypatch.setattr(
        "api.files.importing.ingester",
        lambda runtime, who: lambda items, readings: sizes.append(len(items)) or [],
    )
    with pytest.raises(ValueError, match="zip"):
        importer.take(clicks(20), batch=100)
    assert sizes[0] < 10


def test_an_import_is_patient_while_others_change_the_same(importer, monkeypatch):
    busy = iter([True, True, False])

    def at_first_busy(*asked: Any) -> Any:
        if next(busy, False):
            raise Busy("Others were quicker.")
        return take_in(*asked)

    monkeypatch.setattr("api.files.importing.take_in", at_first_busy)
    monkeypatch.setattr("api.files.importing.BUSY_PAUSE_SECONDS", 0)
    assert importer.take(clicks(5)).verdicts == {"accepted": 5}


def test_what_breaks_an_import_ends_it_at_once(importer, monkeypatch):
    def gone(*_: Any) -> Any:
        raise ConnectionError("The database is gone.")

    monkeypatch.setattr("api.files.importing.take_in", gone)
    with pytest.raises(ConnectionError):
        importer.take(clicks(500), batch=1)
    assert "reader_0" not in {thread.name for thread in threading.enumerate()}


# ---- Rows and a mapping --------------------------------------------------------------------------


def test_rows_become_events_and_importing_again_changes_nothing(importer):
    content = "who,day,paid\na,2026-01-01,5\na,2026-01-01,5\nb,2026-01-02,0.50\n"
    first = importer.take(content, PURCHASES)
    kept = importer.kept()
    again = importer.take(content, PURCHASES, batch=1)
    assert first.verdicts == {"accepted": 3}
    assert again.verdicts == {"duplicate": 3}
    assert importer.kept() == kept == 3 + 2 * 2


def test_faults_of_rows_carry_their_lines(importer):
    content = b"who,day,paid\na,2026-01-01,5\nb,2026-13-01,5\nc,2026-01-01\n\nd,2026-01-01,1\xff\n"
    report = importer.take(content + b'"e,2026-01-01,1\nf,2026-01-01,1\n', PURCHASES)
    told = [(fault.line, fault.code) for fault in report.faults]
    assert told == [
        (3, "row.time_invalid"),
        (4, "row.columns"),
        (6, "row.undecodable"),
        (7, "row.broken"),
    ]
    assert report.verdicts == {"accepted": 2, "rejected": 4}
    assert (report.rows, report.empty) == (6, 1)
    assert importer.refused() == report.codes


def test_a_corrected_file_brings_in_only_what_was_corrected(importer):
    importer.take("who,day,paid\na,2026-01-01,5\nb,2026-01-01,x\n", PURCHASES)
    report = importer.take("who,day,paid\na,2026-01-01,5\nb,2026-01-01,7\n", PURCHASES)
    assert report.verdicts == {"duplicate": 1, "accepted": 1}


def test_a_row_with_a_key_that_says_something_else_is_a_conflict(importer):
    mapping = 'key = ["who"]\n' + PURCHASES
    importer.take("who,day,paid\na,2026-01-01,5\n", mapping)
    report = importer.take("who,day,paid\na,2026-01-01,6\n", mapping)
    assert report.verdicts == {"conflict": 1}
    assert report.faults[0].line == 2


def test_skipped_rows_are_counted(importer):
    mapping = 'skip = [{ who = "" }]\n' + PURCHASES
    report = importer.take("who,day,paid\n,2026-01-01,5\na,2026-01-01,5\n", mapping)
    assert (report.rows, report.skipped, report.items) == (2, 1, 1)


LEADS = """
source = "deals"
[pipelines]
own = [{ name = "First", probability = 5 }, { name = "Second", probability = 70 }]
[fields]
value = { from = "{value}", as = "money", currency = "EUR" }
[[events]]
type = "lead.captured.v1"
[events.data]
lead = { system = "d", id = "{id}" }
customer = { system = "d", id = "{id}" }
source = "deals"
pipeline = "own"
stage = "{stage}"
[[events]]
type = "lead.won.v1"
unless = { value = "" }
data = { lead = { system = "d", id = "{id}" }, value = "{value}" }
"""


def test_a_mapping_sets_its_pipelines_up_and_later_rows_build_on_earlier(importer):
    report = importer.take("id,stage,value\n1,First,\n2,Second,7\n3,Third,9\n", LEADS, batch=2)
    stages = (PipelineStage("First", 5), PipelineStage("Second", 70))
    assert importer.runtime.store.pipelines(importer.tenant)["own"] == Pipeline("own", stages)
    assert report.codes == {"lead.stage_unknown": 1, "lead.unknown": 1}
    assert [fault.line for fault in report.faults] == [4, 4]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("who,when,paid\na,2026-01-01,5\n", "mapping.column_unknown"),
        ("", "file.empty"),
    ],
)
def test_a_mapping_that_does_not_fit_writes_nothing(importer, content, code):
    with pytest.raises(Rejected) as refused:
        importer.take(content, LEADS)
    assert refused.value.code == code
    assert importer.kept() == 0
    assert importer.runtime.store.pipelines(importer.tenant).keys() == {"sales"}


LOOKUP = """
[lookups.more]
file = "more.csv"
key = "id"
"""


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "lookup.unreadable"),
        ("id,name\n1,x\n1,y\n", "lookup.ambiguous"),
        ("id,name\n1\n", "lookup.broken"),
        ("id,title\n1,x\n", "mapping.column_unknown"),
        ("key,name\n1,x\n", "mapping.column_unknown"),
    ],
)
def test_a_second_file_must_be_whole(importer, content, code):
    if content is not None:
        (importer.directory / "more.csv").write_text(content)
    mapping = PURCHASES.replace(
        "[[events]]", 'name = { from = "{who}", lookup = "more", take = "name" }\n[[events]]'
    )
    with pytest.raises(Rejected) as refused:
        importer.take("who,day,paid\n", mapping + LOOKUP)
    assert refused.value.code == code


def test_a_file_that_is_not_there_says_so(importer):
    with pytest.raises(Rejected) as refused:
        run_import(importer.runtime, Path("/nowhere"), tenant="t", authid="test")
    assert refused.value.code == "file.unreadable"


def test_rows_without_a_mapping_are_not_taken_for_events(importer, tmp_path):
    (tmp_path / "rows.CSV").write_text("a,b\n1,2\n")
    with pytest.raises(Rejected) as refused:
        run_import(importer.runtime, tmp_path / "rows.CSV", tenant=importer.tenant, authid="test")
    assert refused.value.code == "mapping.missing"
    assert importer.refused() == {}


def test_a_dry_run_writes_nothing_and_needs_nothing(importer):
    content = "who,day,paid\na,2026-01-01,5\nb,2026-01-01,x\nc,2026-01-01,1\n"
    report = importer.take(content, 'key = ["who"]\n' + PURCHASES, dry_run=True)
    path = importer.directory / "file"
    without = run_import(
        None, path, tenant="t", authid="test", mapping=parse(PURCHASES), dry_run=True
    )
    assert report.dry_run
    assert without.dry_run
    assert report.verdicts == without.verdicts == {"accepted": 2, "rejected": 1}
    assert [sample.line for sample in report.samples] == [2, 4]
    assert report.samples[0].event["data"]["amount"] == {"amount": 500, "currency": "EUR"}
    assert [fault.line for fault in report.faults] == [3]
    assert importer.kept() == 0
    assert importer.refused() == {}


def test_progress_is_told_after_every_batch(importer):
    told = []
    importer.take(clicks(25), batch=10, progress=lambda *so_far: told.append(so_far[:3]))
    total = (importer.directory / "file").stat().st_size
    assert [items for _, _, items in told] == [10, 20, 25]
    assert told[-1][:2] == (total, total)


# ---- Counting, and being killed ------------------------------------------------------------------


def test_occurrences_are_counted_beyond_the_cache():
    counted = Occurrences()
    keys = [number.to_bytes(16, "big") for number in range(2000)]
    for expected in (1, 2, 3):
        assert {counted.count(key) for key in keys} == {expected}
    counted.close()


LIFE = """
import sys, time
from pathlib import Path
from api.files.importing import run_import
from api.files.mapping import load
from infra.runtime import open_runtime
from infra.settings import Settings

url, directory, file, mapping, tenant = sys.argv[1:]
with open_runtime(Settings(database_url=url, directory=Path(directory))) as runtime:
    print("up", flush=True)
    run_import(
        runtime, Path(file), tenant=tenant, authid="test", mapping=Path(mapping), batch=20,
        progress=lambda *_: time.sleep(0.05),  # nobody is at the end before somebody looks
    )
"""


def test_an_import_that_is_killed_and_run_again_neither_loses_nor_doubles(
    runtime: Runtime, importer: Importer, tmp_path: Path, catch_up: Callable[[], int]
):
    rows = [f"c{n % 100},2026-01-{n % 28 + 1:02},{n % 5}" for n in range(1200)]
    file, mapping = tmp_path / "rows.csv", tmp_path / "rows.toml"
    file.write_text("\n".join(["who,day,paid", *rows]))
    mapping.write_text(PURCHASES)
    told = [
        str(runtime.settings.database_url),
        str(runtime.settings.directory),
        str(file),
        str(mapping),
        importer.tenant,
    ]
    kept = []
    for _ in range(3):
        life = subprocess.Popen(
            [sys.executable, "-P", "-c", LIFE, *told],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert life.stdout is not None
        assert life.stdout.readline() == b"up\n"
        enough = importer.kept() + 150
        while life.poll() is None and importer.kept() < enough:
            time.sleep(0.02)
        os.killpg(life.pid, signal.SIGKILL)
        life.communicate()
        kept.append(importer.kept("customer.purchase_recorded"))
    assert 0 < kept[0] < kept[1] < kept[2] < len(rows), "it was killed in the middle, each time"
    report = run_import(runtime, file, tenant=importer.tenant, authid="test", mapping=mapping)
    assert report.verdicts == {"duplicate": kept[2], "accepted": len(rows) - kept[2]}
    assert importer.kept("customer.purchase_recorded") == len(rows)
    catch_up()
    query = """
        SELECT count(*), sum(purchases)::int, sum((revenue ->> 'EUR')::int)::int
        FROM read.customer_view WHERE tenant = %s
    """
    with runtime.pool.connection() as conn:
        told = conn.execute(query, [importer.tenant]).fetchone()
    assert told == (100, len(rows), sum(n % 5 * 100 for n in range(1200)))
