"""A customer about whom much is known, and how she is erased."""

from contextlib import contextmanager

from commands.cases import OpenCase
from commands.command import ByEmail, ByExternalId
from commands.customers import (
    MergeCustomer,
    RecordPurchase,
    RegisterCustomer,
)
from commands.interactions import RecordInteraction
from commands.ports import Who
from infra.approvals import Approvals
from infra.keys.keyring import Keyring
from infra.keys.masters import FileMasterKeys
from infra.privacy.erasure import ask, erase
from tests.world import World

ANN = ByEmail(email="ann.canary@example.org")
ALICE, BOB = Who("acme", "cli:alice"), Who("acme", "cli:bob")
NAME = "Ann Canary-Nameson"


def ann_in(runtime, catch_up):
    """Ann, with a case, purchases and interactions, and another identity merged into her."""
    world = World(runtime.store)
    desk, other = ByExternalId(system="desk", id="1"), ByExternalId(system="shop", id="7")
    for command in (
        RegisterCustomer(customer=ANN, full_name=NAME, attributes={"shoe size": "canary 38"}),
        RegisterCustomer(customer=other, full_name="A. Nameson"),
        RecordInteraction(customer=ANN, channel="web", kind="visit", message="canary message"),
        OpenCase(case=desk, customer=ANN, channel="email", title="canary title"),
        RecordPurchase(customer=ANN, amount={"amount": 100, "currency": "EUR"}),
        MergeCustomer(customer=other, into=ANN, reason="same"),
    ):
        assert world.ask(command).status == "accepted"
    catch_up()
    world.ann = owner(runtime, ANN)
    return world


@contextmanager
def new_keyring(runtime):
    """Another process, which has nothing in its memory."""
    keyring = Keyring(runtime.pool, FileMasterKeys(runtime.settings.key_file))
    yield keyring
    keyring.close()


def owner(runtime, ref):
    return runtime.store.owners("acme", [ref.identifier()]).get(ref.identifier())


def forget(runtime, customer, *, by=(ALICE, BOB)):
    asked = ask(runtime, by[0], customer, "she asked for it")
    Approvals(runtime.pool).approve(by[1], asked.id, asked.digest)
    return erase(runtime, "acme", asked.id)
