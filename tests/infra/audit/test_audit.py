"""Whoever changes the log, also with all rights in the database, is found by the witness."""

import random
from hashlib import sha256

import orjson
import pytest

from commands.command import ByExternalId
from commands.interactions import RecordInteraction
from infra.audit.merkle import HASH, WIDTH
from infra.audit.proofs import (
    BadProof,
    check_consistency,
    check_inclusion,
    leaf_hash,
    read_checkpoint,
)
from infra.audit.tree import EVENTS, grow
from infra.audit.verify import verify
from infra.audit.witness import Behind
from infra.database import connect
from tests.world import World

COUNT = 300
"""More than a tile of leaves."""


@pytest.fixture
def log(runtime, catch_up):
    """A log of several customers, signed at several sizes."""
    return filled(runtime, catch_up, COUNT)


def filled(runtime, catch_up, count):
    world = World(runtime.store)
    asked = [
        RecordInteraction(
            customer=ByExternalId(system="shop", id=str(number % 7)), channel="web",
            kind="visit", message=f"visit {number}",
        )
        for number in range(count)
    ]  # fmt: skip
    for start in range(0, count, 100):
        world.ask_all([(each, "", None) for each in asked[start : start + 100]])
        catch_up()
        assert runtime.audit.checkpoint()
    assert not runtime.audit.checkpoint()
    return world


def key_of(runtime):
    return runtime.audit.signer.key(EVENTS)


def report(runtime, **options):
    return runtime.audit.verify(**options)


def test_a_log_that_nobody_touched_is_as_it_was_signed(runtime, log):
    for deep in (True, False):
        found = report(runtime, deep=deep)
        assert (found.findings, found.first_bad) == ([], None)
        assert (found.leaves, found.checkpoints, found.witnessed) == (runtime.events.head(), 3, 3)


def test_an_empty_log_has_nothing_to_sign(runtime):
    assert not runtime.audit.checkpoint()
    assert report(runtime).findings == []


def test_every_event_is_proven_and_every_checkpoint_continues_the_one_before(runtime, log):
    tree, key = runtime.audit.trees[EVENTS], key_of(runtime)
    checkpoints = [read_checkpoint(head.note, key) for head in tree.heads()]
    newest = checkpoints[-1]
    assert newest.size == runtime.events.head()
    for position, envelope in runtime.events.read(0, 1000, ()).events:
        proof = tree.inclusion(position, newest.size)
        check_inclusion(leaf_hash(envelope), position - 1, newest.size, proof, newest.root)
    for old in checkpoints:
        proof = tree.consistency(old.size, newest.size)
        check_consistency(old.size, newest.size, proof, old.root, newest.root)


def test_a_checkpoint_is_a_note_as_others_read_it(runtime, log):
    note, key = runtime.audit.trees[EVENTS].head().note, key_of(runtime)
    name, size, _, blank, signature, end = note.split("\n")
    assert (blank, end) == ("", "")
    assert signature.startswith(f"— {name} ")
    assert int(size) == runtime.events.head()
    other = key.replace(key[-5], "A" if key[-5] != "A" else "B")
    with pytest.raises(BadProof):
        read_checkpoint(note, other)
    for at in range(0, len(note), 3):
        changed = note[:at] + ("A" if note[at] != "A" else "B") + note[at + 1 :]
        with pytest.raises(BadProof):
            read_checkpoint(changed, key)
    for false in ("", note.rstrip("\n"), note + note, note.replace(size, "0" + size),
                  note.partition("\n\n")[0]):  # fmt: skip
        with pytest.raises(BadProof):
            read_checkpoint(false, key)


# ---- A superuser changes something ---------------------------------------------------------------


def found_after(runtime, witnessed, change):
    """What is found after a change that is then undone."""
    with connect(runtime.settings.database_url) as conn:
        return tried(conn, runtime, witnessed, change)


def tried(conn, runtime, witnessed, change):
    with conn.transaction(force_rollback=True):
        change(conn)
        return verify(conn, key_of(runtime), witnessed)


class Superuser:
    """Changes one thing at random, some in a way that leaves no contradiction in the database."""

    def __init__(self, chance, head):
        self.chance, self.head = chance, head

    def change(self):
        """Give a change and the position at which it must be found, None if it has none."""
        kinds = [self.flip, self.column, self.delete, self.swap, self.insert, self.truncate,
                 self.forge, self.forge_all, self.tile, self.checkpoint]  # fmt: skip
        return self.chance.choice(kinds)()

    def position(self, upto=None):
        return self.chance.randint(1, upto or self.head)

    def flip(self):
        at = self.position()
        column = self.chance.choice(("envelope", "leaf"))
        table = "event" if column == "envelope" else "log"
        which = f"seq = (SELECT seq FROM crm.log WHERE position = {at})"

        def change(conn):
            (length,) = conn.execute(
                f"SELECT length({column}) * 8 FROM crm.{table} WHERE {which}"
            ).fetchone()
            bit = self.chance.randrange(length)
            conn.execute(
                f"UPDATE crm.{table} SET {column} ="
                f" set_bit({column}, {bit}, 1 - get_bit({column}, {bit})) WHERE {which}"
            )

        return change, at

    def column(self):
        at = self.position()
        sets = self.chance.choice((
            "subject = gen_random_uuid()", "stream = gen_random_uuid()", "type = 'case.closed.v1'",
            "tenant = 'other'", "version = version + 7",
        ))  # fmt: skip
        query = (
            f"UPDATE crm.event SET {sets} WHERE seq = (SELECT seq FROM crm.log WHERE position = %s)"
        )
        return (lambda conn: conn.execute(query, [at])), at

    def delete(self):
        at, which = self.position(), self.chance.choice(("event", "log", "both"))

        def change(conn):
            if which != "log":
                conn.execute("DELETE FROM crm.event WHERE seq ="
                             " (SELECT seq FROM crm.log WHERE position = %s)", [at])  # fmt: skip
            if which != "event":
                conn.execute("DELETE FROM crm.log WHERE position = %s", [at])

        return change, at

    def swap(self):
        one, other = self.position(), self.position()
        while other == one:
            other = self.position()
        with_leaf = self.chance.random() < 0.7

        def change(conn):
            rows = dict(conn.execute(
                "SELECT position, (seq, leaf) FROM crm.log WHERE position IN (%s, %s)", [one, other]
            ).fetchall())  # fmt: skip
            (seq_1, leaf_1), (seq_2, leaf_2) = rows[one], rows[other]
            seq = "UPDATE crm.log SET seq = %s WHERE position = %s"
            for value, at in ((-1, one), (seq_1, other), (seq_2, one)):
                conn.execute(seq, [value, at])
            if with_leaf:
                leaf = "UPDATE crm.log SET leaf = decode(%s, 'hex') WHERE position = %s"
                conn.execute(leaf, [leaf_1[2:], other])
                conn.execute(leaf, [leaf_2[2:], one])

        return change, min(one, other)

    def insert(self):
        at = self.position()

        def change(conn):
            conn.execute("UPDATE crm.log SET position = -position - 1 WHERE position >= %s", [at])
            conn.execute("UPDATE crm.log SET position = -position WHERE position < 0")
            put(conn, at, b'{"type":"customer.registered.v1"}')

        return change, at

    def truncate(self):
        at = self.position()

        def change(conn):
            gone = "DELETE FROM crm.log WHERE position >= %s RETURNING seq"
            seqs = [seq for (seq,) in conn.execute(gone, [at])]
            conn.execute("DELETE FROM crm.event WHERE seq = ANY(%s)", [seqs])
            conn.execute("DELETE FROM crm.tree_head WHERE size >= %s", [at])
            rebuild(conn)

        return change, at

    def forge(self):
        """Another event, with its leaf; the tiles stay."""
        at = self.position()

        def change(conn):
            forge(conn, at)

        return change, at

    def forge_all(self):
        """Another event, its leaf, and all the tree: only what was signed tells."""
        at = self.position()

        def change(conn):
            forge(conn, at)
            rebuild(conn)

        return change, None

    def tile(self):
        at = self.position()

        def change(conn):
            conn.execute(
                "UPDATE crm.tile SET hashes = set_bit(hashes, %s, 1 - get_bit(hashes, %s))"
                " WHERE level = 0 AND number = %s",
                [
                    bit := (at - 1) % WIDTH * 256 + self.chance.randrange(256),
                    bit,
                    (at - 1) // WIDTH,
                ],
            )

        return change, at

    def checkpoint(self):
        query = self.chance.choice((
            "DELETE FROM crm.tree_head WHERE size = (SELECT max(size) FROM crm.tree_head)",
            "UPDATE crm.tree_head SET note = replace(note, 'a', 'b')",
            "UPDATE crm.tree_head SET size = size + 1",
        ))  # fmt: skip
        return (lambda conn: conn.execute(query)), None


def put(conn, position, envelope):
    (seq,) = conn.execute(
        "INSERT INTO crm.event (tenant, stream, version, type, subject, envelope)"
        " VALUES ('acme', gen_random_uuid(), 1, 'x', gen_random_uuid(), %s) RETURNING seq",
        [envelope],
    ).fetchone()
    conn.execute("INSERT INTO crm.log VALUES (%s, %s, %s)", [position, seq, leaf_hash(envelope)])


def forge(conn, at):
    seq, envelope = conn.execute(
        "SELECT seq, envelope FROM crm.log JOIN crm.event USING (seq) WHERE position = %s", [at]
    ).fetchone()
    event = orjson.loads(envelope) | {"authid": "somebody else"}
    forged = orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
    conn.execute("UPDATE crm.event SET envelope = %s WHERE seq = %s", [forged, seq])
    conn.execute("UPDATE crm.log SET leaf = %s WHERE seq = %s", [leaf_hash(forged), seq])


def rebuild(conn):
    conn.execute("DELETE FROM crm.tile")
    leaves = b"".join(
        leaf for (leaf,) in conn.execute("SELECT leaf FROM crm.log ORDER BY position")
    )
    for (level, number), hashes in grow(0, leaves, {}.get).items():
        conn.execute("INSERT INTO crm.tile VALUES ('events', %s, %s, %s)", [level, number, hashes])


@pytest.mark.parametrize(
    ("seed", "changes"), [(1, 200), pytest.param(6962, 2000, marks=pytest.mark.slow)]
)
def test_whatever_a_superuser_changes_is_found(runtime, log, seed, changes):
    witnessed = list(runtime.audit.file.checkpoints(key_of(runtime)))
    sizes = [0, *(checkpoint.size for checkpoint in witnessed)]
    superuser = Superuser(random.Random(seed), runtime.events.head())
    with connect(runtime.settings.database_url) as conn:
        for number in range(changes):
            change, position = superuser.change()
            found = tried(conn, runtime, witnessed, change)
            told = f"{number}: {change.__qualname__} at {position}: {found.findings[:3]}"
            assert found.findings, told
            if position is not None:
                assert found.first_bad == position, told
            elif "forge_all" in change.__qualname__:
                assert found.first_bad - 1 in sizes, told
        assert verify(conn, key_of(runtime), witnessed).findings == []


def test_without_the_witness_a_truncated_log_would_look_whole(runtime, log):
    """The control: this is what the witness is for."""
    witnessed = list(runtime.audit.file.checkpoints(key_of(runtime)))

    def truncate(conn):
        conn.execute(
            "DELETE FROM crm.event WHERE seq IN (SELECT seq FROM crm.log WHERE position > 250)"
        )
        conn.execute("DELETE FROM crm.log WHERE position > 250")
        conn.execute("DELETE FROM crm.tree_head WHERE size > 250")
        rebuild(conn)

    assert found_after(runtime, [], truncate).findings == []
    assert found_after(runtime, witnessed, truncate).first_bad == 251


# ---- Witnesses -----------------------------------------------------------------------------------


def test_the_file_witness_takes_only_what_continues_what_it_has_seen(runtime, log):
    tree, key, witness = runtime.audit.trees[EVENTS], key_of(runtime), runtime.audit.file
    size = witness.size(key)
    forged = runtime.audit.signer.checkpoint(EVENTS, size + 1, sha256(b"forged").digest())
    before = runtime.settings.witness.read_bytes()
    with pytest.raises(BadProof):
        witness.add(key, size, tree.consistency(size - 5, size), forged)
    with pytest.raises(Behind):
        witness.add(key, size - 1, [], forged)
    assert runtime.settings.witness.read_bytes() == before


def test_a_log_that_was_cut_and_went_on_is_not_witnessed(runtime, log, catch_up):
    def cut(conn):
        conn.execute("DELETE FROM crm.log WHERE position > 250")
        conn.execute("DELETE FROM crm.event WHERE seq NOT IN (SELECT seq FROM crm.log)")
        conn.execute("DELETE FROM crm.tree_head WHERE size > 250")
        conn.execute("UPDATE crm.lease SET position = 250 WHERE name = 'sequencer'")
        conn.execute("UPDATE crm.checkpoint SET position = 0")
        rebuild(conn)

    with connect(runtime.settings.database_url) as conn:
        cut(conn)
    before = runtime.settings.witness.read_bytes()
    runtime.audit.checkpoint()
    assert runtime.settings.witness.read_bytes() == before
    assert report(runtime).first_bad is not None


def test_hashes_have_the_size_that_tiles_are_made_for():
    assert (HASH, WIDTH) == (32, 256)
