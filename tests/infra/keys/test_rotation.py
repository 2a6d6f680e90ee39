"""Master keys change, living data keys go with them, and what is dead stays dead."""

import threading
from datetime import UTC, datetime

import pytest

from commands.command import ByEmail
from commands.customers import RegisterCustomer
from commands.interactions import RecordInteraction
from commands.ports import Who
from domain.rejected import Rejected
from infra.approvals import Approvals
from infra.ids import uuid7
from infra.keys.keyring import Keyring, Slot
from infra.keys.masters import FileMasterKeys, LostEpoch
from infra.privacy.erasure import ask, erase
from infra.privacy.four_eyes import carry_out, rotation_of
from infra.privacy.holds import ask_release, put
from infra.read_models.reader import Reader
from infra.seeing import seeing_held
from tests.world import World

ANN = ByEmail(email="ann@example.org")
ALICE, BOB = Who("acme", "cli:alice"), Who("acme", "cli:bob")


@pytest.fixture
def ann(runtime, catch_up):
    World(runtime.store).ask(RegisterCustomer(customer=ANN, full_name="Ann Canary"))
    catch_up()
    return runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]


def refused(act, *arguments):
    with pytest.raises(Rejected) as no:
        act(*arguments)
    return no.value.code


def name_of(runtime, id_):
    runtime.keyring.forget()
    return Reader(runtime).customer("acme", id_)["profile"]["full_name"]


def agreed(runtime, asked):
    return carry_out(runtime, Approvals(runtime.pool).approve(BOB, asked.id, asked.digest))


def epochs(runtime):
    return {epoch.epoch: epoch for epoch in rotation_of(runtime).epochs()}


def let_backups_die(runtime):
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm_keys.epoch SET dies_at = clock_timestamp()")


def test_living_keys_go_into_the_new_epoch_and_the_old_one_can_die(runtime, ann):
    before = epochs(runtime)[1].keys
    assert rotation_of(runtime).rotate() == before > 0
    assert (epochs(runtime)[1].keys, epochs(runtime)[2].keys) == (0, before)
    assert name_of(runtime, ann) == "Ann Canary"
    assert refused(rotation_of(runtime).ask_destroy, ALICE, 1) == "epoch.in_backups"
    let_backups_die(runtime)
    assert "destroyed" in agreed(runtime, rotation_of(runtime).ask_destroy(ALICE, 1))
    assert not runtime.settings.key_file.exists()
    assert name_of(runtime, ann) == "Ann Canary"
    again = Keyring(runtime.pool, FileMasterKeys(runtime.settings.key_file))  # another start
    assert again.ensure("acme", [Slot(uuid7(), "content")])
    again.close()
    assert epochs(runtime)[2].keys == before + 1
    assert refused(rotation_of(runtime).ask_destroy, ALICE, 1) == "epoch.unknown"


def test_an_epoch_in_use_is_not_destroyed(runtime, ann):
    assert refused(rotation_of(runtime).ask_destroy, ALICE, 1) == "epoch.in_use"


def test_a_restored_backup_of_the_keys_opens_nothing_once_its_epoch_is_gone(runtime, ann, tmp_path):
    slot = Slot(ann, "identity")
    with runtime.pool.connection() as conn:
        query = "SELECT id, epoch, wrapped FROM crm_keys.data_key WHERE subject = %s AND grp = %s"
        backup = conn.execute(query, slot).fetchone()
    asked = ask(runtime, ALICE, ann, "she asked")
    agreed(runtime, asked)
    rotation_of(runtime).rotate()
    let_backups_die(runtime)
    agreed(runtime, rotation_of(runtime).ask_destroy(ALICE, 1))
    with runtime.pool.connection() as conn:  # the key comes back as it was, tombstone and all
        conn.execute(
            "UPDATE crm_keys.data_key SET erasure = NULL, id = %s, epoch = %s, wrapped = %s"
            " WHERE subject = %s AND grp = %s",
            [*backup, *slot],
        )
    with pytest.raises(LostEpoch):
        Keyring(runtime.pool, FileMasterKeys(runtime.settings.key_file)).find("acme", [slot])


def test_keys_that_are_made_while_the_epoch_changes_are_never_lost(runtime):
    made, stop = [], threading.Event()

    def make():
        keyring = Keyring(runtime.pool, FileMasterKeys(runtime.settings.key_file))
        while not stop.is_set():
            slot = Slot(uuid7(), "content")
            made.append((slot, keyring.ensure("acme", [slot])[slot].secret))
        keyring.close()

    threads = [threading.Thread(target=make) for _ in range(4)]
    for each in threads:
        each.start()
    for _ in range(3):
        rotation_of(runtime).rotate()
    stop.set()
    for each in threads:
        each.join()
    rotation_of(runtime).rotate()
    newest = max(epochs(runtime))
    assert all(epoch.keys == 0 for number, epoch in epochs(runtime).items() if number != newest)
    runtime.keyring.forget()
    found = runtime.keyring.find("acme", [slot for slot, _ in made])
    assert len(made) >= len(threads)
    assert {slot: key.secret for slot, key in found.items()} == dict(made)


def test_a_held_customer_is_erased_when_the_hold_ends(runtime, ann, catch_up):
    put(runtime, ALICE, ann, "lawsuit 7")
    asked = ask(runtime, ALICE, ann, "she asked")
    assert "waits" in agreed(runtime, asked)
    assert Reader(runtime).customer("acme", ann) is None
    with seeing_held():
        assert name_of(runtime, ann) == {"redacted": "held"}
    holder = Keyring(runtime.pool, FileMasterKeys(runtime.settings.key_file), sees_held=True)
    assert holder.find("acme", [Slot(ann, "identity")])
    holder.close()
    release = ask_release(runtime, ALICE, ann, "over")
    approve = Approvals(runtime.pool).approve
    assert refused(approve, ALICE, release.id, release.digest) == "request.same_person"
    assert "1 erasures" in agreed(runtime, release)
    assert erase(runtime, "acme", asked.id).state == "done"
    catch_up()
    assert name_of(runtime, ann) == {"redacted": "erased", "certificate": asked.id}


def test_what_comes_during_a_hold_is_held_as_well(runtime, ann, catch_up):
    """She had no message yet, and so no key for one."""
    put(runtime, ALICE, ann, "lawsuit 7")
    agreed(runtime, ask(runtime, ALICE, ann, "she asked"))
    message = Slot(ann, "content")
    said = RecordInteraction(customer=ANN, channel="web", kind="visit", message="canary")
    World(runtime.store).ask(said, uuid7())
    catch_up()
    with seeing_held():
        told = Reader(runtime).history("acme", ann, limit=100).items
    assert [each["data"]["message"] for each in told if "message" in each["data"]] == [
        {"redacted": "held"}
    ]
    runtime.keyring.forget()
    assert runtime.keyring.find("acme", [message]) == {}
    assert runtime.keyring.find("acme", [message], held=True)
    runtime.keyring.hold("acme", [ann], held=True)  # again, with nothing to make
    agreed(runtime, ask_release(runtime, ALICE, ann, "over"))
    assert runtime.keyring.find("acme", [message], held=True) == {}


def test_there_is_no_hold_to_release_where_there_is_none(runtime, ann):
    assert refused(ask_release, runtime, ALICE, ann, "over") == "hold.unknown"
    assert epochs(runtime)[1].made_at < datetime.now(UTC)
