"""A byte scan of PostgreSQL's own files, write-ahead log included: no canary, before or after."""

import time

import orjson

from commands.ports import Who
from infra.approvals import Approvals
from infra.audit.export import export
from infra.privacy.erasure import ask, erase
from infra.read_models.reader import Reader
from tests.canaries import forms, found_in_database, new_mark, plant


def test_no_byte_of_a_canary_is_in_any_file_before_or_after_an_erasure(runtime, catch_up, tmp_path):
    since, mark = time.time(), new_mark()
    customer = plant(runtime, mark)
    catch_up()
    assert found_in_database(runtime, mark, since) == set()
    told = orjson.dumps(Reader(runtime).history("acme", customer, limit=500).items)
    assert told.count(mark.encode()) > 40  # whoever holds the keys can read them

    asked = ask(runtime, Who("acme", "cli:alice"), customer, "asked")
    Approvals(runtime.pool).approve(Who("acme", "cli:bob"), asked.id, asked.digest)
    done = erase(runtime, "acme", asked.id)
    catch_up()
    assert done.state == "done"
    assert found_in_database(runtime, mark, since) == set()
    told = orjson.dumps(Reader(runtime).history("acme", customer, limit=500).items)
    bundle = export(runtime, "acme", customer, tmp_path / "bundle")
    exported = [file.read_bytes() for file in bundle.directory.iterdir()]
    for where in (told, *exported, str(done.certificate).encode()):
        assert not any(form in where for form in forms(mark))


def test_the_scan_finds_what_a_control_plants_in_the_clear(runtime):
    since, marks = time.time(), [new_mark() for _ in forms("0")]
    with runtime.pool.connection() as conn:
        conn.execute("CREATE TABLE crm.control (planted bytea)")
        for number, mark in enumerate(marks):
            planted = list(forms(mark))[number]
            conn.execute("INSERT INTO crm.control VALUES (%b)", [b"xy" + planted + b"z"])
    for mark in marks:
        hits = found_in_database(runtime, mark, since)
        assert len(hits) >= 2  # in the table, and in the write-ahead log
