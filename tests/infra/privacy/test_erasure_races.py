"""Erasures against writers and readers that are at it at the same time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from commands.command import ByExternalId
from commands.customers import (
    ChangeProfile,
    RegisterCustomer,
)
from commands.interactions import RecordInteraction
from domain.personal import GROUPS
from infra.ids import uuid7
from infra.keys.keyring import Keyring, Slot
from infra.keys.lease import LEASE_SECONDS
from infra.keys.masters import FileMasterKeys
from infra.read_models.reader import Reader
from tests.infra.privacy.erased import ann_in, forget, new_keyring, owner
from tests.world import World


@pytest.fixture
def world(runtime, catch_up):
    return ann_in(runtime, catch_up)


def race(runtime, number, writers):
    """Writers write about one customer while it is erased; gives its id."""
    world = World(runtime.store)
    ref = ByExternalId(system="race", id=str(number))
    world.ports = world.ports._replace(new_id=uuid7)
    world.ask(RegisterCustomer(customer=ref, full_name=f"canary {number}"), uuid7())
    customer, stop = owner(runtime, ref), threading.Event()

    def write():
        while not stop.is_set():
            message = RecordInteraction(
                customer=customer, channel="web", kind="v", message="canary"
            )
            profile = ChangeProfile(customer=customer, full_name=f"canary {time.monotonic()}")
            world.ask_all([(message, uuid7(), None), (profile, uuid7(), None)])

    with ThreadPoolExecutor(writers) as pool:
        running = [pool.submit(write) for _ in range(writers)]
        try:
            assert forget(runtime, customer).state == "done"
        finally:
            stop.set()
        for each in running:
            each.result()
    return customer


@pytest.mark.parametrize("rounds", [3, pytest.param(1000, marks=pytest.mark.slow)])
def test_an_erasure_wins_against_eight_writers(runtime, catch_up, rounds):
    for number in range(rounds):
        customer = race(runtime, number, writers=8)
        with runtime.pool.connection() as conn:
            left = (
                "SELECT count(*) FROM crm_keys.data_key WHERE wrapped IS NOT NULL AND subject = %s"
            )
            assert conn.execute(left, [customer]).fetchone() == (0,)
            assert owner(runtime, ByExternalId(system="race", id=str(number))) is None
        for keyring in (
            runtime.keyring,
            Keyring(runtime.pool, FileMasterKeys(runtime.settings.key_file)),
        ):
            assert keyring.find("acme", [Slot(customer, group) for group in GROUPS]) == {}
    catch_up()
    told = orjson.dumps(Reader(runtime).history("acme", customer, limit=1000).items)
    assert b"canary" not in told
    assert told.count(b'"redacted":"erased"') > 1


def test_another_process_forgets_a_key_before_the_erasure_is_done(runtime, world):
    slot = Slot(world.ann, "identity")
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            seen.append((time.monotonic(), slot in other.find("acme", [slot])))

    with new_keyring(runtime) as other, ThreadPoolExecutor(1) as pool:
        running = pool.submit(read)
        wait_until(lambda: any(found for _, found in seen))
        forget(runtime, world.ann)
        done = time.monotonic()
        wait_until(lambda: seen[-1][0] > done)
        stop.set()
        running.result()
    assert not any(found for at, found in seen if at > done)


def wait_until(happened):
    give_up = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_process_that_stands_still_may_not_use_its_keys_afterwards(runtime, world):
    other = Keyring(runtime.pool, FileMasterKeys(runtime.settings.key_file))
    slot = Slot(world.ann, "identity")
    before = time.monotonic()
    assert other.find("acme", [slot])
    forget(runtime, world.ann)  # waits for the lease of the other to run out, and no longer
    assert LEASE_SECONDS <= time.monotonic() - before < 20
    assert other._cache
    assert other._cached("acme", slot) is None
    assert other.find("acme", [slot]) == {}
