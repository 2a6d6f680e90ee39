"""A tree over a log in PostgreSQL: it grows with the log, proves, and its heads are signed.

Growing reads only what is new and the tiles at the right edge; a proof reads one tile a level.
Full tiles never change and are remembered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from infra.access import number
from infra.audit.merkle import (
    HASH,
    HEIGHT,
    WIDTH,
    Node,
    Tile,
    consistency_proof,
    inclusion_proof,
    node_in,
    root,
    tile_of,
)
from infra.audit.signing import Signer
from infra.database import Conn, Pool

LEAVES_AT_ONCE = 16_384
TILES_REMEMBERED = 512

EVENTS = "events"
ACCESS = "access"

TILES = """
SELECT wanted.level, wanted.number, found.hashes
FROM unnest(%s::int[], %s::bigint[]) AS wanted (level, number)
CROSS JOIN LATERAL (SELECT hashes FROM crm.tile WHERE tree = %s AND level = wanted.level
                    AND number = wanted.number LIMIT 1) AS found
"""
KEEP = """
INSERT INTO crm.tile (tree, level, number, hashes)
SELECT %s, level, number, hashes
FROM unnest(%s::int[], %s::bigint[], %b::bytea[]) AS changed (level, number, hashes)
ON CONFLICT (tree, level, number) DO UPDATE SET hashes = excluded.hashes
"""
LAST = "SELECT number, length(hashes) FROM crm.tile WHERE tree = %s AND level = 0 {}"
LEAVES = """
SELECT string_agg(leaf, ''::bytea ORDER BY position)
FROM (SELECT position, leaf FROM {} WHERE position > %s ORDER BY position LIMIT %s) AS next
"""
LOGS = {EVENTS: "crm.log", ACCESS: "crm.access_log"}

Place = tuple[int, int]
Proof = TypeVar("Proof")


class Head(NamedTuple):
    """A signed checkpoint of a tree."""

    size: int
    note: str


class StoredTree:
    """One of the trees of this installation."""

    def __init__(self, pool: Pool, name: str, signer: Signer) -> None:
        self._pool, self.name, self.signer = pool, name, signer
        self._full: dict[Place, Tile] = {}

    # ---- Growing ---------------------------------------------------------------------------------

    def checkpoint(self) -> Head | None:
        """Take in what is new in the log and sign the tree; None while the log is empty."""
        while self._grow():
            pass
        with self._pool.connection() as conn, conn.transaction():
            size = tree_size(conn, self.name)
            head = self.head(conn)
            if size and (head is None or head.size < size):
                head = self._sign(conn, size)
        return head

    def _grow(self) -> bool:
        """Take in a part of the log; tells whether there may be more."""
        with self._pool.connection() as conn, conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(hashtext('crm.tile ' || %s))", [self.name])
            if self.name == ACCESS:
                number(conn)
            size = tree_size(conn, self.name)
            query = LEAVES.format(LOGS[self.name])
            row = conn.execute(query, [size, LEAVES_AT_ONCE], binary=True).fetchone()
            leaves = row[0] or b"" if row else b""
            grown = grow(size, leaves, partial(self._tile, conn))
            levels, numbers = [level for level, _ in grown], [number for _, number in grown]
            conn.execute(KEEP, [self.name, levels, numbers, list(grown.values())])
        return len(leaves) == LEAVES_AT_ONCE * HASH

    def _tile(self, conn: Conn, place: Place) -> bytes:
        found = conn.execute(TILES, [[place[0]], [place[1]], self.name], binary=True).fetchone()
        return found[2] if found else b""

    def _sign(self, conn: Conn, size: int) -> Head:
        note = self.signer.checkpoint(self.name, size, self._proved(conn, lambda n: root(n, size)))
        conn.execute(
            "INSERT INTO crm.tree_head (tree, size, note) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [self.name, size, note],
        )
        return Head(size, note)

    def add_signatures(self, size: int, signatures: str) -> None:
        """Keep what a witness has signed with the checkpoint that it signed."""
        query = """
            UPDATE crm.tree_head SET note = note || %(lines)s
            WHERE tree = %(tree)s AND size = %(size)s AND position(%(lines)s IN note) = 0
        """
        with self._pool.connection() as conn:
            conn.execute(query, {"tree": self.name, "size": size, "lines": signatures})

    # ---- Proving ---------------------------------------------------------------------------------

    def head(self, conn: Conn | None = None) -> Head | None:
        """Give the newest signed checkpoint."""
        heads = self.heads(conn, newest=True)
        return heads[0] if heads else None

    def heads(self, conn: Conn | None = None, *, newest: bool = False) -> list[Head]:
        """Give all signed checkpoints, the oldest first; or the newest alone."""
        order = "DESC LIMIT 1" if newest else ""
        query = f"SELECT size, note FROM crm.tree_head WHERE tree = %s ORDER BY size {order}"
        if conn is not None:
            return [Head(*row) for row in conn.execute(query, [self.name])]
        with self._pool.connection() as own:
            return [Head(*row) for row in own.execute(query, [self.name])]

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """Prove that what is at a position is in the tree of this size."""
        return self.inclusions([position], size)[0]

    def inclusions(self, positions: Sequence[int], size: int) -> list[list[bytes]]:
        """Prove what is at many positions; the tiles are read once."""
        return self._prove(
            lambda node: [inclusion_proof(node, position - 1, size) for position in positions]
        )

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Prove that the tree of one size continues the one of another."""
        return self._prove(lambda node: consistency_proof(node, old, new))

    def _prove(self, make: Callable[[Node], Proof]) -> Proof:
        with self._pool.connection() as conn:
            return self._proved(conn, make)

    def _proved(self, conn: Conn, make: Callable[[Node], Proof]) -> Proof:
        """Find out which tiles it takes, read them with one question, and make it."""
        wanted: set[Place] = set()

        def dry(height: int, index: int) -> bytes:
            wanted.add(tile_of(height, index))
            return bytes(HASH)

        make(dry)
        tiles = self._read(conn, wanted)
        return make(lambda height, index: node_in(tiles[tile_of(height, index)], height, index))

    def _read(self, conn: Conn, places: Iterable[Place]) -> Mapping[Place, Tile]:
        known = {place: self._full[place] for place in places if place in self._full}
        missing = [place for place in places if place not in known]
        if missing:
            levels, numbers = map(list, zip(*missing, strict=True))
            rows = conn.execute(TILES, [levels, numbers, self.name], binary=True).fetchall()
            read = {(level, number): Tile(hashes) for level, number, hashes in rows}
            if len(self._full) > TILES_REMEMBERED:
                self._full.clear()
            self._full |= {p: t for p, t in read.items() if len(t.levels[0]) == WIDTH * HASH}
            known |= read
        return known


def tree_size(conn: Conn, tree: str) -> int:
    """Tell how many leaves a tree has."""
    row = conn.execute(LAST.format("ORDER BY number DESC LIMIT 1"), [tree]).fetchone()
    return row[0] * WIDTH + row[1] // HASH if row else 0


def grow(size: int, leaves: bytes, tile: Callable[[Place], bytes]) -> dict[Place, bytes]:
    """Give the tiles that change when leaves come to a tree; the root of a full one goes up."""
    changed: dict[Place, bytes] = {}
    level = 0
    while leaves:
        number, held = divmod(size >> HEIGHT * level, WIDTH)
        hashes = (tile((level, number)) if held else b"") + leaves
        leaves = b""
        for start in range(0, len(hashes), WIDTH * HASH):
            part = hashes[start : start + WIDTH * HASH]
            changed[level, number + start // (WIDTH * HASH)] = part
            if len(part) == WIDTH * HASH:
                leaves += Tile(part).node(HEIGHT, 0)
        level += 1
    return changed
