"""Keys: one for each tenant, customer and group, wrapped by a master key that only we can read."""

import os
import stat
import threading

import pytest
from cryptography.exceptions import InvalidTag

from infra.keys import keyring as keys_module
from infra.keys.keyring import Keyring, Slot, bound_to
from infra.keys.master_key import MasterKey, WrongKey, make_key_file
from infra.keys.masters import FileMasterKeys

ANN = "a0000000-0000-0000-0000-000000000000"
BOB = "b0000000-0000-0000-0000-000000000000"
CONTENT, CONTACT = Slot(ANN, "content"), Slot(ANN, "contact")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secret" / "master.key"


@pytest.fixture
def keyring(runtime):
    return runtime.keyring


def new_keyring(runtime):
    """Another process, which has nothing in its cache."""
    return Keyring(runtime.pool, FileMasterKeys(runtime.settings.key_file))


# ---- The master key ------------------------------------------------------------------------------


def test_the_master_key_is_made_once_for_its_owner_alone(path):
    MasterKey(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    secret = path.read_bytes()
    assert len(secret) == 32
    MasterKey(path)
    assert path.read_bytes() == secret
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_master_key_that_others_can_read_is_not_used(path, mode):
    MasterKey(path)
    path.chmod(mode)
    with pytest.raises(PermissionError, match="chmod 600"):
        MasterKey(path)


def test_several_that_start_at_once_use_the_same_master_key(path):
    path.parent.mkdir()
    start, wrapped = threading.Barrier(8), []

    def begin():
        start.wait()
        wrapped.append(MasterKey(path).wrap(b"secret", b"place"))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    master = MasterKey(path)
    assert [master.unwrap(each, b"place") for each in wrapped] == [b"secret"] * 8


def test_a_process_that_dies_while_it_makes_the_master_key_leaves_none_behind(path, monkeypatch):
    """A half-written key file under the final name would lock everybody out for ever."""

    def die(*_):
        assert not path.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", die)
    with pytest.raises(KeyboardInterrupt):
        make_key_file(path)
    monkeypatch.undo()
    assert not path.exists()
    MasterKey(path)


def test_what_is_wrapped_can_be_unwrapped_only_where_it_belongs(path):
    master = MasterKey(path)
    wrapped = master.wrap(b"secret", b"place")
    assert b"secret" not in wrapped
    assert master.unwrap(wrapped, b"place") == b"secret"
    assert master.wrap(b"secret", b"place") != wrapped
    with pytest.raises(InvalidTag):
        master.unwrap(wrapped, b"other place")
    with pytest.raises(InvalidTag):
        MasterKey(path.with_name("other.key")).unwrap(wrapped, b"place")


# ---- Data keys -----------------------------------------------------------------------------------


def test_a_key_is_made_when_it_is_needed_and_stays_the_same(runtime, keyring):
    assert keyring.find("acme", [CONTENT]) == {}
    made = keyring.ensure("acme", [CONTENT])[CONTENT]
    for other in (keyring, new_keyring(runtime)):
        found = other.find("acme", [CONTENT])[CONTENT]
        assert (found.id, found.secret) == (made.id, made.secret)
    assert len(made.secret) == 32


def test_every_tenant_customer_and_group_has_a_key_of_its_own(keyring):
    slots = [CONTENT, CONTACT, Slot(BOB, "content")]
    found = [*keyring.ensure("acme", slots).values(), *keyring.ensure("other", slots).values()]
    assert len({key.secret for key in found}) == len({key.id for key in found}) == 6


def test_two_that_need_a_new_key_at_once_get_the_same_one(runtime):
    start, found = threading.Barrier(4), []
    slots = [Slot(f"{n:08x}-0000-0000-0000-000000000000", "content") for n in range(20)]

    def need(chosen):
        keyring = new_keyring(runtime)
        start.wait()
        found.append({slot: key.secret for slot, key in keyring.ensure("acme", chosen).items()})

    orders = [slots, slots[::-1], slots[5:] + slots[:5], slots]
    threads = [threading.Thread(target=need, args=(order,)) for order in orders]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 4
    assert all(each == found[0] for each in found)


def test_a_stored_key_is_wrapped_and_cannot_be_moved_to_another_place(runtime, keyring):
    secrets = {slot: key.secret for slot, key in keyring.ensure("acme", [CONTENT, CONTACT]).items()}
    with runtime.pool.connection() as conn:
        stored = conn.execute("SELECT grp, wrapped FROM crm_keys.data_key").fetchall()
        assert not any(s in wrapped for s in secrets.values() for _, wrapped in stored)
        conn.execute(
            "UPDATE crm_keys.data_key d SET wrapped = o.wrapped FROM crm_keys.data_key o"
            " WHERE d.grp <> o.grp"
        )
    with pytest.raises(WrongKey):
        new_keyring(runtime).find("acme", [CONTENT])


def test_a_destroyed_key_is_gone_once_the_cache_has_forgotten_it(runtime, keyring, monkeypatch):
    keyring.ensure("acme", [CONTENT])
    with runtime.pool.connection() as conn:
        conn.execute("DELETE FROM crm_keys.data_key")
    assert CONTENT in keyring.find("acme", [CONTENT])
    monkeypatch.setattr(keys_module, "CACHE_SECONDS", 0)
    assert keyring.find("acme", [CONTENT]) == {}
    monkeypatch.undo()
    keyring.forget()
    assert keyring.find("acme", [CONTENT]) == {}


def test_the_cache_does_not_grow_for_ever(runtime, keyring, monkeypatch):
    monkeypatch.setattr(keys_module, "CACHE_MAX", 10)
    slots = [Slot(f"{n:08x}-0000-0000-0000-000000000000", "content") for n in range(40)]
    for slot in slots:
        keyring.ensure("acme", [slot])
    assert len(keyring._cache) <= 11 + 1
    assert len(keyring.find("acme", slots)) == 40


def test_a_key_commits_to_itself_so_that_nobody_can_show_a_second_plaintext(keyring):
    one, other = keyring.ensure("acme", [CONTENT, CONTACT]).values()
    nonce = bytes(12)
    assert one.commit(nonce) == one.commit(nonce)
    assert len({one.commit(nonce), other.commit(nonce), one.commit(bytes([1] * 12))}) == 3


def test_the_place_of_a_key_is_all_that_tells_it_apart():
    places = {
        bound_to("acme", CONTENT, "id", 1),
        bound_to("other", CONTENT, "id", 1),
        bound_to("acme", CONTACT, "id", 1),
        bound_to("acme", Slot(BOB, "content"), "id", 1),
        bound_to("acme", CONTENT, "id2", 1),
        bound_to("acme", CONTENT, "id", 2),
    }
    assert len(places) == 6
