"""Published vectors pass, and what only looks like a ciphertext or a signature is refused."""

from base64 import b64decode, b64encode

import pytest
from cryptography.exceptions import InvalidTag

from infra.audit.proofs import BadProof, read_checkpoint
from infra.audit.signing import Signer
from infra.keys.master_key import MasterKey

# AES-256-GCM, from the specification of GCM (McGrew and Viega), test cases 13 to 16:
# key, nonce, associated data, plaintext, ciphertext and tag.
LONG_KEY = "feffe9928665731c6d6a8f9467308308" * 2
LONG = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
LONG_SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
)
AAD = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
GCM = {
    13: ("00" * 32, "00" * 12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    14: ("00" * 32, "00" * 12, "", "00" * 16,
         "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
    15: (LONG_KEY, "cafebabefacedbaddecaf888", "", LONG,
         LONG_SEALED + "b094dac5d93471bdec1a502270e3cc6c"),
    16: (LONG_KEY, "cafebabefacedbaddecaf888", AAD, LONG[:120],
         LONG_SEALED[:120] + "76fc6ece0f4e1768cddf8853bb2d551b"),
}  # fmt: skip

# Ed25519, RFC 8032, 7.1: secret key, public key, message, signature.
ED25519 = {
    1: ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
        "cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    2: ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0"
        "f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
}  # fmt: skip
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"

    def keep(secret):
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(bytes.fromhex(secret))
        return path

    return keep


@pytest.mark.parametrize("case", GCM)
def test_keys_are_wrapped_by_the_published_cipher_and_by_nothing_near_it(key_file, case):
    nonce, aad, plain, sealed = map(bytes.fromhex, GCM[case][1:])
    master = MasterKey(key_file(GCM[case][0]))
    assert master.unwrap(nonce + sealed, aad) == plain
    false = [(nonce + sealed, aad + b"\0"), (nonce + sealed, b"\0"), (sealed, aad)]
    false += [(nonce + sealed[:-cut], aad) for cut in range(1, 17)]
    false += [(nonce + sealed + b"\0", aad), (nonce[::-1] + b"\1" + sealed, aad)]
    for at in range(-16, len(nonce)):  # the whole tag, and the nonce
        for bit in range(8):
            raw = bytearray(nonce + sealed)
            raw[at] ^= 1 << bit
            false.append((bytes(raw), aad))
    for wrapped, bound_to in false:
        with pytest.raises((InvalidTag, ValueError)):
            master.unwrap(wrapped, bound_to)


@pytest.mark.parametrize("case", ED25519)
def test_checkpoints_are_signed_by_the_published_scheme(key_file, case):
    secret, public, message, signature = ED25519[case]
    signer = Signer(key_file(secret))
    assert signer.public.hex() == public
    assert signer._key.sign(bytes.fromhex(message)).hex() == signature


def malformed(signature):
    """What a lax verifier takes for a signature, and what no verifier should."""
    nonce, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    yield nonce + (scalar + ORDER).to_bytes(32, "little")  # the same scalar, written otherwise
    yield nonce + (ORDER - scalar).to_bytes(32, "little")
    yield nonce + bytes(32)
    yield bytes(64)
    yield b"\1" + bytes(63)  # the neutral element, and nothing
    yield b"\xff" * 64
    yield bytes([*nonce[:31], nonce[31] ^ 0x80]) + signature[32:]  # the sign of the nonce
    yield (2**255 - 18).to_bytes(32, "little") + signature[32:]  # not reduced
    yield signature[32:] + nonce
    yield from (signature[:-1], signature + b"\0", signature[:32], b"")


def test_every_malformed_signature_of_a_checkpoint_is_refused(key_file):
    signer = Signer(key_file(ED25519[1][0]))
    note, key = signer.checkpoint("events", 7, bytes(32)), signer.key("events")
    assert read_checkpoint(note, key).size == 7
    text, _, shown = note.rstrip("\n").rpartition(" ")
    raw = b64decode(shown)
    for false in malformed(raw[4:]):
        with pytest.raises(BadProof):
            read_checkpoint(f"{text} {b64encode(raw[:4] + false).decode()}\n", key)
