"""What one person alone must not do: correct an event, break the glass, serve a restored log."""

import json

import orjson
import pytest

from commands.command import ByEmail
from commands.customers import ChangeProfile, RegisterCustomer
from commands.ports import Who
from domain.rejected import Rejected
from infra.access import looking
from infra.approvals import Approvals
from infra.audit.tree import ACCESS
from infra.privacy.break_glass import ask_to_break, open_held
from infra.privacy.corrections import Correction, ask_to_correct, correct, fields_of
from infra.privacy.erasure import ask
from infra.privacy.four_eyes import carry_out
from infra.privacy.holds import put
from infra.read_models.reader import Reader
from tests.world import World

ANN = ByEmail(email="ann@example.org")
ALICE, BOB = Who("acme", "cli:alice"), Who("acme", "cli:bob")


@pytest.fixture
def world(runtime, catch_up):
    world = World(runtime.store)
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann Canary"))
    world.ask(ChangeProfile(customer=ANN, full_name="Anna Canary"))
    catch_up()
    world.ann = runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]
    return world


def refused(code, act, *arguments):
    with pytest.raises(Rejected) as no:
        act(*arguments)
    assert no.value.code == code


def agreed(runtime, asked, by=BOB):
    with looking(by.authid, "four eyes"):
        return carry_out(runtime, Approvals(runtime.pool).approve(by, asked.id, asked.digest))


def events(runtime, id_):
    return Reader(runtime).history("acme", id_, limit=1000).items


# ---- Corrections ---------------------------------------------------------------------------------


def wrong_name(runtime, world):
    """The position of the event that has the wrong name."""
    named = [e for e in events(runtime, world.ann) if e["data"].get("full_name") == "Anna Canary"]
    return named[0]["position"]


def correction(runtime, world, **fields):
    told = {"customer": {"email": ANN.email}, "full_name": "Hannah Canary"} | fields
    wanted = Correction(wrong_name(runtime, world), "customer.change_profile", told, "misheard")
    return ask_to_correct(runtime, ALICE, wanted)


def test_an_event_is_corrected_by_another_one_that_names_it(runtime, world, catch_up):
    asked = correction(runtime, world)
    refused("request.not_approved", correct, runtime, "acme", asked.id)
    assert fields_of(runtime, asked)["full_name"] == "Hannah Canary"
    assert "customer.profile_changed.v1" in agreed(runtime, asked)
    catch_up()
    wrong, right = events(runtime, world.ann)[-2:]
    assert Reader(runtime).customer("acme", world.ann)["profile"] == {"full_name": "Hannah Canary"}
    assert wrong["data"]["full_name"] == "Anna Canary"  # it stays
    assert (right["causationid"], right["time"]) == (wrong["id"], wrong["time"])
    assert (right["authid"], right["commandid"]) == (f"correction:{asked.id}", asked.id)
    assert right["recordedtime"] > wrong["recordedtime"]
    correct(runtime, "acme", asked.id)  # again: nothing new
    catch_up()
    assert events(runtime, world.ann)[-1] == right


def test_a_correction_that_the_rules_refuse_is_not_done(runtime, world):
    wanted = Correction(1, "case.close", {"case": world.ann}, "wrong")
    asked = ask_to_correct(runtime, ALICE, wanted)
    with pytest.raises(Rejected):
        agreed(runtime, asked)
    assert Approvals(runtime.pool).get("acme", asked.id).done_at is None
    refused("event.unknown", ask_to_correct, runtime, ALICE, wanted._replace(position=99))
    refused("command.unknown", ask_to_correct, runtime, ALICE, wanted._replace(command="no.such"))
    refused("data.invalid", ask_to_correct, runtime, ALICE, wanted._replace(fields={}))
    other = Who("other", "cli:alice")
    refused("event.unknown", ask_to_correct, runtime, other, wanted)


def test_what_corrects_is_sealed_and_goes_with_the_customer(runtime, world):
    asked = correction(runtime, world)
    with runtime.pool.connection() as conn:
        (kept,) = conn.execute("SELECT asked FROM crm.request WHERE id = %s", [asked.id]).fetchone()
    assert b"Canary" not in kept
    agreed(runtime, ask(runtime, ALICE, world.ann, "she asked"))
    refused("customer.erased", fields_of, runtime, asked)
    refused("customer.erased", agreed, runtime, asked)
    refused("customer.erased", correction_of_nothing, runtime)


def correction_of_nothing(runtime):
    wanted = Correction(1, "customer.change_profile", {"customer": {"email": ANN.email}}, "late")
    return ask_to_correct(runtime, ALICE, wanted)


# ---- Breaking the glass --------------------------------------------------------------------------


def test_what_a_hold_closes_is_opened_once_for_who_asked_by_two(runtime, world, tmp_path):
    refused("hold.unknown", ask_to_break, runtime, ALICE, world.ann, "curious")
    put(runtime, BOB, world.ann, "lawsuit 7")
    agreed(runtime, ask(runtime, ALICE, world.ann, "she asked to be erased"))
    assert "Canary" not in json.dumps(events(runtime, world.ann))
    asked, file = ask_to_break(runtime, ALICE, world.ann, "the court asks"), tmp_path / "held.jsonl"
    refused("request.not_approved", open_held, runtime, ALICE, asked.id, file)
    assert asked.id in agreed(runtime, asked)
    refused("request.other_person", open_held, runtime, BOB, asked.id, file)
    assert open_held(runtime, ALICE, asked.id, file) == 4
    told = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert {"Ann Canary", "Anna Canary"} < {event["data"].get("full_name") for event in told}
    assert file.stat().st_mode & 0o077 == 0
    look = runtime.keyring.access.looks("acme", [world.ann], 1)[0]
    assert (look.who, look.purpose) == ("cli:alice", f"break-glass {asked.id}: the court asks")
    refused("request.done", open_held, runtime, ALICE, asked.id, tmp_path / "again")
    assert "Canary" not in json.dumps(events(runtime, world.ann))  # for all others it stays closed


def test_the_glass_is_not_broken_an_hour_later(runtime, world, tmp_path):
    put(runtime, BOB, world.ann, "lawsuit 7")
    asked = ask_to_break(runtime, ALICE, world.ann, "the court asks")
    assert (asked.expires_at - asked.asked_at).total_seconds() <= 3600
    agreed(runtime, asked)
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm.request SET expires_at = clock_timestamp() - interval '1s'")
    refused("request.expired", open_held, runtime, ALICE, asked.id, tmp_path / "late")


# ---- Every step is noted -------------------------------------------------------------------------


def test_who_asked_and_who_approved_cannot_be_changed_unseen(runtime, world):
    asked = correction(runtime, world)
    agreed(runtime, asked)
    runtime.audit.checkpoint()
    assert runtime.audit.verify(ACCESS).findings == []
    for change in (
        "UPDATE crm.request SET asked_by = 'cli:carol'",
        "UPDATE crm.request SET approved_by = 'cli:carol'",
        "UPDATE crm.request SET asked = asked || ' '",
        "UPDATE crm.request SET approved_by = NULL, approved = NULL",
        "DELETE FROM crm.request",
        "INSERT INTO crm.request (id, tenant, kind, asked, asked_by, expires_at)"
        " VALUES (gen_random_uuid(), 'acme', 'erasure', '{}', 'cli:mallory', now())",
    ):
        with runtime.pool.connection() as conn, conn.transaction(force_rollback=True):
            conn.execute(change)
            assert runtime.audit.verify_on(conn, ACCESS).findings, change
    with runtime.pool.connection() as conn:
        query = "SELECT convert_from(entry, 'UTF8')::json FROM crm.access WHERE subjects = '{}'"
        noted = [(e["step"], e["who"], e["request"]) for (e,) in conn.execute(query)]
    steps = (("asked", "cli:alice"), ("approved", "cli:bob"), ("done", "cli:bob"))
    assert noted == [(step, who, asked.id) for step, who in steps]


def test_a_request_and_what_was_noted_of_it_forged_alike_are_found(runtime, world):
    correction(runtime, world)
    runtime.audit.checkpoint()
    with runtime.pool.connection() as conn, conn.transaction(force_rollback=True):
        conn.execute("UPDATE crm.request SET asked_by = 'cli:bobby'")
        conn.execute("UPDATE crm.access SET entry = convert_to("
                     "replace(convert_from(entry, 'UTF8'), 'cli:alice', 'cli:bobby'), 'UTF8')"
                     " WHERE subjects = '{}'")  # fmt: skip
        assert runtime.audit.verify_on(conn, ACCESS).first_bad
    with runtime.pool.connection() as conn, conn.transaction(force_rollback=True):
        conn.execute("UPDATE crm.access SET entry = 'no JSON at all'")
        assert runtime.audit.verify_on(conn, ACCESS).first_bad
