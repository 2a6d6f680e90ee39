"""Checks the whole log against what was signed and witnessed, and names the first bad position.

From the leaf hashes alone (fast), or from the events themselves. It only reads, on one connection,
and believes nothing in the database: what counts are the witness's checkpoints and the public key.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import orjson

from infra.approvals import wrong_requests
from infra.audit.merkle import HASH, HEIGHT, WIDTH, Tile
from infra.audit.proofs import BadProof, Checkpoint, leaf_hash, node_hash, read_checkpoint
from infra.audit.stamping import Times
from infra.audit.tree import EVENTS, LOGS, tree_size
from infra.database import Conn

AT_ONCE = WIDTH * WIDTH
FINDINGS_MAX = 100

LEAVES = """
SELECT count(*), min(position), max(position), string_agg(leaf, ''::bytea ORDER BY position),
       bool_and(length(leaf) = 32)
FROM {} WHERE position > %s AND position <= %s
"""
MISSING = """
SELECT coalesce(min(p), 0) FROM generate_series(%s::bigint, %s::bigint) AS p
WHERE NOT EXISTS (SELECT FROM {} l WHERE l.position = p AND length(leaf) = 32)
"""
HASHES = """
SELECT number, hashes FROM crm.tile
WHERE tree = %s AND level = %s AND number >= %s AND number < %s ORDER BY number
"""
EVENTS_OF = """
SELECT l.position, l.leaf, e.tenant, e.stream, e.version, e.type, e.subject, e.envelope
FROM crm.log l LEFT JOIN crm.event e USING (seq)
WHERE l.position > %s AND l.position <= %s ORDER BY l.position
"""
# An event is in the log or waits for its position; anything else was put there by somebody.
STRAY = """
SELECT count(*) FROM crm.event e
WHERE NOT EXISTS (SELECT FROM crm.log l WHERE l.seq = e.seq)
  AND NOT EXISTS (SELECT FROM crm.pending p WHERE p.seq = e.seq)
"""
# Only what has its leaf is sure to be JSON.
WRONG_LOOKS = """
SELECT l.position FROM crm.access_log l LEFT JOIN crm.access a USING (seq)
WHERE CASE WHEN sha256('\\x00'::bytea || a.entry) = l.leaf THEN
    (convert_from(a.entry, 'UTF8')::json ->> 'tenant') IS DISTINCT FROM a.tenant
    OR ARRAY(SELECT s::uuid FROM json_array_elements_text(
           convert_from(a.entry, 'UTF8')::json -> 'subjects') AS s) IS DISTINCT FROM a.subjects
    ELSE true END
ORDER BY 1
"""
Tiles = Sequence[tuple[int, bytes]]
"""Tiles that the tree has kept: the number and the hashes of each."""

COPIES = ("tenant", "stream", "version", "type", "subject")


class Finding(NamedTuple):
    """Something that is not as it was signed; position 0 is no place in the log.

    `upto` is beyond `position` where only a hash over several positions tells.
    """

    position: int
    upto: int
    sentence: str


def at(position: int, sentence: str) -> Finding:
    """Tell what is wrong at one position."""
    return Finding(position, position, sentence)


class Report(NamedTuple):
    """What was checked, and what was found. Time stamps need to be told whom to believe."""

    leaves: int
    checkpoints: int
    witnessed: int
    findings: list[Finding]
    stamps: int = 0
    times: Times = Times()

    @property
    def first_bad(self) -> int | None:
        """Give the first position that is not as it was signed."""
        exact = {found.position for found in self.findings if found.position == found.upto}
        vague = [
            found.position
            for found in self.findings
            if not any(found.position <= position <= found.upto for position in exact)
        ]
        return min({*exact, *vague} - {0}, default=None)


class Roots:
    """Folds leaves into roots at given sizes, in one pass."""

    def __init__(self, wanted: Iterable[int]) -> None:
        self._wanted = iter(sorted(set(wanted)))
        self._next = next(self._wanted, 0)
        self._stack: list[tuple[int, bytes]] = []
        self.size, self.above = 0, b""
        self.found: dict[int, bytes] = {}

    def add(self, leaves: bytes) -> None:
        """Take up to a tile of leaves in; all but the last part must be full."""
        tile = Tile(leaves)
        upto = self.size + len(leaves) // HASH
        while self.size < self._next <= upto:
            self.found[self._next] = self._root(tile, self._next - self.size)
            self._next = next(self._wanted, 0)
        if len(leaves) == WIDTH * HASH:
            self.above += tile.node(HEIGHT, 0)
            push(self._stack, HEIGHT, tile.node(HEIGHT, 0))
        self.size = upto

    def _root(self, tile: Tile, count: int) -> bytes:
        stack, start = list(self._stack), 0
        for height in range(HEIGHT, -1, -1):
            if count >> height & 1:
                push(stack, height, tile.node(height, start >> height))
                start += 1 << height
        (_, root) = stack.pop()
        while stack:
            root = node_hash(stack.pop()[1], root)
        return root


def push(stack: list[tuple[int, bytes]], height: int, node: bytes) -> None:
    """Put a perfect subtree to the right of others; two of one height become one."""
    while stack and stack[-1][0] == height:
        node, height = node_hash(stack.pop()[1], node), height + 1
    stack.append((height, node))


def verify(
    conn: Conn, key: str, witnessed: Iterable[Checkpoint], tree: str = EVENTS, *, deep: bool = True
) -> Report:
    """Check a log: its positions, its leaves, its tree, its checkpoints; `deep`: its events too."""
    table = LOGS[tree]
    findings: list[Finding] = []
    signed = {c.size: c for c in own_checkpoints(conn, key, tree, findings)}
    seen = {checkpoint.size: checkpoint for checkpoint in witnessed}
    findings += [
        at(0, f"The checkpoint of size {size} is gone; the witness has it.")
        for size in sorted(seen.keys() - signed.keys())
    ]
    head = log_head(conn, table)
    roots = Roots([size for size in {*signed, *seen} if 0 < size <= head])
    for leaves, kept in ahead(with_tiles(conn, tree, leaves_of(conn, table, head, findings))):
        findings += compare_tiles(kept, 0, roots.size, leaves)
        for start in range(0, len(leaves), WIDTH * HASH):
            roots.add(leaves[start : start + WIDTH * HASH])
    findings += compare_above(conn, tree, roots.above)
    findings += wrong_roots([*signed.values(), *seen.values()], roots, head)
    if tree_size(conn, tree) > head:
        findings.append(at(head + 1, "The tree has leaves that are not in the log any more."))
    if deep:
        wrong = wrong_events(conn, head) if tree == EVENTS else wrong_looks(conn)
        findings += islice(wrong, FINDINGS_MAX)
    findings.sort()
    return Report(head, len(signed), len(seen), findings[:FINDINGS_MAX])


def log_head(conn: Conn, table: str) -> int:
    """Give the last position."""
    row = conn.execute(f"SELECT coalesce(max(position), 0) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def own_checkpoints(
    conn: Conn, key: str, tree: str, findings: list[Finding]
) -> Iterator[Checkpoint]:
    """Read the checkpoints in the database; a false signature is a finding."""
    query = "SELECT size, note FROM crm.tree_head WHERE tree = %s ORDER BY size"
    for size, note in conn.execute(query, [tree]):
        try:
            checkpoint = read_checkpoint(note, key)
        except BadProof as bad:
            findings.append(at(0, f"Checkpoint of size {size}: {bad}"))
            continue
        if checkpoint.size == size:
            yield checkpoint
        else:
            findings.append(at(0, f"The checkpoint of size {size} is of another size."))


def leaves_of(conn: Conn, table: str, head: int, findings: list[Finding]) -> Iterator[bytes]:
    """Give the leaves in parts; ends before the first position that is missing or malformed."""
    for after in range(0, head, AT_ONCE):
        upto = min(after + AT_ONCE, head)
        row = conn.execute(LEAVES.format(table), [after, upto], binary=True).fetchone()
        count, first, last, leaves, whole = row or (0, 0, 0, b"", False)
        if (count, first, last, whole) == (upto - after, after + 1, upto, True):
            yield leaves
            continue
        gap = conn.execute(MISSING.format(table), [after + 1, upto]).fetchone()
        missing = int(gap[0]) if gap and gap[0] else after + 1
        findings.append(at(missing, "This position is missing, doubled, or has no leaf."))
        row = conn.execute(LEAVES.format(table), [after, missing - 1], binary=True).fetchone()
        if row and row[0]:
            yield row[3]
        return


def with_tiles(conn: Conn, tree: str, parts: Iterable[bytes]) -> Iterator[tuple[bytes, Tiles]]:
    """Read beside each part of the leaves what the tree has kept of it."""
    start = 0
    for leaves in parts:
        yield leaves, kept_tiles(conn, tree, 0, start, leaves)
        start += len(leaves) // HASH


def ahead(parts: Iterator[tuple[bytes, Tiles]]) -> Iterator[tuple[bytes, Tiles]]:
    """Read the next part while the one before is hashed: the server has a processor of its own."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = thread.submit(next, parts, None)
            yield part


def kept_tiles(conn: Conn, tree: str, level: int, start: int, hashes: bytes) -> Tiles:
    """Read the tiles that the tree has kept of nodes; `start` fills tiles."""
    first = start // WIDTH
    upto = first + -(-len(hashes) // (WIDTH * HASH))
    return conn.execute(HASHES, [tree, level, first, upto], binary=True).fetchall()


def compare_tiles(kept: Tiles, level: int, start: int, hashes: bytes) -> Iterator[Finding]:
    """Compare nodes that were computed with those that the tree has kept."""
    first, width = start // WIDTH, WIDTH * HASH
    if [number for number, _ in kept] != list(range(first, first + len(kept))):
        yield at(0, f"Tiles of level {level} are missing.")
    for number, stored in kept:
        begin = (number - first) * width
        ours = hashes[begin : begin + width]
        if ours[: len(stored)] != stored:
            node, each = number * WIDTH + differs(ours, stored), WIDTH**level
            what = "This leaf" if level == 0 else f"The hash over {each} leaves"
            sentence = f"{what} is not the one that the tree has kept."
            yield Finding(node * each + 1, (node + 1) * each, sentence)


def compare_above(conn: Conn, tree: str, hashes: bytes) -> Iterator[Finding]:
    """Compare the roots of the full tiles, and theirs, with those that the tree has kept."""
    level, width = 1, WIDTH * HASH
    while hashes:
        yield from compare_tiles(kept_tiles(conn, tree, level, 0, hashes), level, 0, hashes)
        full = [hashes[n : n + width] for n in range(0, len(hashes) - width + 1, width)]
        hashes = b"".join(Tile(part).node(HEIGHT, 0) for part in full)
        level += 1


def differs(one: bytes, other: bytes) -> int:
    """Count the equal hashes before the first that differs."""
    places = range(0, max(len(one), len(other)), HASH)
    return next(n for n in places if one[n : n + HASH] != other[n : n + HASH]) // HASH


def wrong_roots(checkpoints: Iterable[Checkpoint], roots: Roots, head: int) -> Iterator[Finding]:
    """Tell which checkpoints do not fit, and between which positions the first change must be."""
    good = 0
    for checkpoint in sorted(checkpoints, key=lambda c: c.size):
        size = checkpoint.size
        if size > head:
            yield at(head + 1, f"The log ends here; {size} leaves were signed.")
        elif size not in roots.found:
            continue  # after a gap, which is a finding of its own
        elif roots.found[size] == checkpoint.root:
            good = size
        else:
            yield Finding(good + 1, size, f"Something up to {size} is not as it was signed.")
            return


def wrong_events(conn: Conn, head: int) -> Iterator[Finding]:
    """Compare every event with its leaf, and the columns beside it with what it says itself."""
    for after in range(0, head, AT_ONCE // 8):
        arguments = [after, after + AT_ONCE // 8]
        for position, leaf, *row in conn.execute(EVENTS_OF, arguments, binary=True):
            if wrong := fault_of(leaf, row):
                yield at(position, wrong)
    stray = conn.execute(STRAY).fetchone()
    if stray and stray[0]:
        yield at(0, f"{stray[0]} events are in the store that never came into the log.")


def wrong_looks(conn: Conn) -> Iterator[Finding]:
    """Compare every entry of the access log with its leaf."""
    for (position,) in conn.execute(WRONG_LOOKS):
        yield at(position, "The entry is gone, or is not the one that was recorded.")
    for request in wrong_requests(conn):
        yield at(0, f"Request {request}: who asked or approved what is not what was noted.")


def fault_of(leaf: bytes, row: Sequence[Any]) -> str | None:
    """Tell what is wrong with an event."""
    *columns, envelope = row
    if envelope is None:
        return "The event is gone."
    if leaf_hash(envelope) != leaf:
        return "The event is not the one that was recorded."
    try:
        event = dict(orjson.loads(envelope))
    except ValueError:
        return "The event cannot be read."
    wrong = [n for n, kept in zip(COPIES, columns, strict=True) if event.get(n) != kept]
    return f"The column {wrong[0]} differs from the event itself." if wrong else None
