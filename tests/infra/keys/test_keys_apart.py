"""Data keys in a database of their own: nothing of them beside the events, and all still works."""

import pytest

from commands.command import ByEmail
from commands.customers import RegisterCustomer
from commands.ports import Who
from consumers.follow import advance
from infra.approvals import Approvals
from infra.database import connect
from infra.privacy.erasure import ask
from infra.privacy.erasure_ledger import ErasuresMissing
from infra.privacy.four_eyes import carry_out, rotation_of
from infra.read_models.reader import Reader
from infra.runtime import KeysLost, open_runtime
from infra.store.sequencing import Sequencing
from tests.conftest import database
from tests.world import World

ALICE, BOB = Who("acme", "cli:alice"), Who("acme", "cli:bob")
ANN = ByEmail(email="ann@example.org")

IDENTITY = "FROM crm_keys.data_key WHERE subject = %s AND grp = 'identity'"
RESTORE = """
INSERT INTO crm_keys.data_key (tenant, subject, grp, id, epoch, wrapped)
VALUES ('acme', %s, 'identity', %s, %s, %s)
"""


@pytest.fixture
def apart(runtime, server_url, template):
    """The settings of an installation whose keys are in another database."""
    with database(server_url, "template0") as url:
        yield runtime.settings.model_copy(update={"keys_database_url": url})


def names(runtime, id_):
    runtime.keyring.forget()
    told = Reader(runtime).history("acme", id_).items
    return [event["data"]["full_name"] for event in told if "full_name" in event["data"]]


def level(runtime):
    sequencing = Sequencing(runtime.pool, "test", 60)
    while sequencing.run_once():
        pass
    for table in runtime.tables.values():
        while advance(runtime.events, table):
            pass


def count(url):
    with connect(url) as conn:
        return conn.execute("SELECT count(*) FROM crm_keys.data_key").fetchone()[0]


def test_a_customer_is_kept_and_erased_with_keys_that_lie_apart(apart):
    with open_runtime(apart) as runtime:
        World(runtime.store).ask(RegisterCustomer(customer=ANN, full_name="Ann"))
        level(runtime)
        id_ = runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]
        assert names(runtime, id_) == ["Ann"]
        assert (count(apart.database_url), count(apart.keys_database_url)) == (0, 3)
        assert rotation_of(runtime).rotate() == 3
        assert names(runtime, id_) == ["Ann"]
        with runtime.keys.connection() as conn:
            backup = conn.execute(f"SELECT id, epoch, wrapped {IDENTITY}", [id_]).fetchone()
        asked = ask(runtime, ALICE, id_, "she asked")
        approved = Approvals(runtime.pool).approve(BOB, asked.id, asked.digest)
        assert carry_out(runtime, approved).startswith("Erased")
        level(runtime)
        assert names(runtime, id_) == [{"redacted": "erased", "certificate": asked.id}]
    with connect(apart.keys_database_url) as conn:  # the keys alone are restored
        conn.execute(f"DELETE {IDENTITY}", [id_])
        conn.execute(RESTORE, [id_, *backup])
    with pytest.raises(ErasuresMissing), open_runtime(apart):
        pass


def test_events_without_a_key_are_not_served(apart):
    with open_runtime(apart) as runtime:
        World(runtime.store).ask(RegisterCustomer(customer=ANN, full_name="Ann"))
    elsewhere = apart.model_copy(update={"keys_database_url": None})
    with pytest.raises(KeysLost, match="CRM_KEYS_DATABASE_URL"), open_runtime(elsewhere):
        pass
    with open_runtime(apart):
        pass
