"""The tree is that of RFC 6962: published vectors, every small size, and no false proof passes."""

import random
from hashlib import sha256

import pytest

from infra.audit.merkle import (
    EMPTY_ROOT,
    HEIGHT,
    Tile,
    consistency_proof,
    inclusion_proof,
    node_in,
    root,
    tile_of,
)
from infra.audit.proofs import BadProof, check_consistency, check_inclusion, leaf_hash, node_hash

# The test data of the reference implementation of Certificate Transparency.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
INCLUSION = {(0, 1): [], (0, 8): [A, B, C], (5, 8): [D, E, ROOTS[3]], (2, 3): [ROOTS[1]]}
CONSISTENCY = {(1, 1): [], (1, 8): [A, B, C], (6, 8): [F, E, ROOTS[3]], (2, 5): [B, D]}


class Tree:
    """A tree in memory, in tiles as the stored one."""

    def __init__(self, leaves):
        self.tiles, hashes, level = {}, b"".join(leaves), 0
        while hashes:
            parts = [hashes[at : at + 8192] for at in range(0, len(hashes), 8192)]
            self.tiles.update({(level, n): Tile(part) for n, part in enumerate(parts)})
            full = [n for n, part in enumerate(parts) if len(part) == 8192]
            hashes = b"".join(self.tiles[level, n].node(HEIGHT, 0) for n in full)
            level += 1

    def node(self, height, index):
        return node_in(self.tiles[tile_of(height, index)], height, index)


def by_definition(leaves):
    """The root as RFC 6962 defines it, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(by_definition(leaves[:k]), by_definition(leaves[k:]))


PUBLISHED = [leaf_hash(bytes.fromhex(each)) for each in INPUTS]
MANY = [leaf_hash(b"%d" % n) for n in range(70_000)]


def test_the_published_roots_and_proofs():
    tree = Tree(PUBLISHED)
    assert EMPTY_ROOT.hex().startswith("e3b0c44298fc1c14")
    assert [root(tree.node, size).hex() for size in range(1, 9)] == ROOTS
    for (index, size), proof in INCLUSION.items():
        assert [each.hex() for each in inclusion_proof(tree.node, index, size)] == proof
    for (old, new), proof in CONSISTENCY.items():
        assert [each.hex() for each in consistency_proof(tree.node, old, new)] == proof


def test_every_proof_of_every_small_tree():
    tree = Tree(MANY[:40])
    roots = [by_definition(MANY[:size]) for size in range(41)]
    for size in range(1, 41):
        assert root(tree.node, size) == roots[size]
        for index in range(size):
            proof = inclusion_proof(tree.node, index, size)
            check_inclusion(MANY[index], index, size, proof, roots[size])
        for old in range(1, size + 1):
            proof = consistency_proof(tree.node, old, size)
            check_consistency(old, size, proof, roots[old], roots[size])


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000])
def test_trees_of_several_tiles(size):
    tree, expected = Tree(MANY[:size]), by_definition(MANY[:size])
    assert root(tree.node, size) == expected
    for index in {0, 1, 255, size // 2, size - 2, size - 1} & set(range(size)):
        proof = inclusion_proof(tree.node, index, size)
        assert len(proof) <= size.bit_length()
        check_inclusion(MANY[index], index, size, proof, expected)
    for old in {1, 255, 256, size // 2, size - 1} & set(range(1, size)):
        proof = consistency_proof(tree.node, old, size)
        check_consistency(old, size, proof, root(tree.node, old), expected)


# ---- What must not pass --------------------------------------------------------------------------


def flipped(hash_, chance):
    at = chance.randrange(len(hash_))
    return hash_[:at] + bytes([hash_[at] ^ 1 << chance.randrange(8)]) + hash_[at + 1 :]


def spoilt(proof, chance):
    """Every way to get a list of hashes wrong."""
    for at in range(len(proof)):
        yield [*proof[:at], *proof[at + 1 :]]
        yield [*proof[:at], flipped(proof[at], chance), *proof[at + 1 :]]
        yield [*proof[:at], proof[at][:-1], *proof[at + 1 :]]
        yield [*proof[:at], proof[at] + b"\x00", *proof[at + 1 :]]
        yield [*proof[:at], proof[at], *proof[at:]]
    for at in range(len(proof) - 1):
        yield [*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]]
    yield [*proof, MANY[0]]
    yield [MANY[0], *proof]


def test_every_malformed_inclusion_proof_is_refused():
    chance, tree = random.Random(1), Tree(MANY[:300])
    for size in (1, 2, 3, 7, 8, 100, 257, 300):
        top = root(tree.node, size)
        for index in sorted({0, size // 3, size - 1}):
            proof, leaf = inclusion_proof(tree.node, index, size), MANY[index]
            false = [(leaf, index, size, each, top) for each in spoilt(proof, chance)]
            false += [
                (flipped(leaf, chance), index, size, proof, top),
                (leaf, index, size, proof, flipped(top, chance)),
                (leaf, index + size, size, proof, top),
                (leaf, -1, size, proof, top),
                (leaf, index, 0, proof, top),
            ]
            false += [(leaf, other, size, proof, top) for other in range(size) if other != index]
            for claimed in false:
                with pytest.raises(BadProof):
                    check_inclusion(*claimed)


def test_every_malformed_consistency_proof_is_refused():
    chance, tree = random.Random(2), Tree(MANY[:300])
    for old, new in ((1, 2), (1, 8), (6, 8), (8, 8), (100, 257), (256, 300), (299, 300)):
        first, last = root(tree.node, old), root(tree.node, new)
        proof = consistency_proof(tree.node, old, new)
        false = [(old, new, each, first, last) for each in spoilt(proof, chance)]
        false += [
            (old, new, proof, flipped(first, chance), last),
            (old, new, proof, first, flipped(last, chance)),
            (0, new, proof, first, last),
            (new + 1, new, proof, first, last),
        ]
        if old != new:
            false.append((old, new, [], first, last))
            false.append((new, new, proof, first, last))
        for claimed in false:
            with pytest.raises(BadProof):
                check_consistency(*claimed)


def test_there_is_no_proof_of_what_is_not_there():
    tree = Tree(MANY[:8])
    for index, size in ((8, 8), (-1, 8), (0, 0)):
        with pytest.raises(LookupError):
            inclusion_proof(tree.node, index, size)
    for old, new in ((0, 8), (9, 8)):
        with pytest.raises(LookupError):
            consistency_proof(tree.node, old, new)
    with pytest.raises(LookupError):
        root(tree.node, 9)
