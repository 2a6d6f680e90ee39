"""A bundle proves itself to whoever has Python and `cryptography`, and nothing false passes."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from commands.command import ByEmail, ByExternalId
from commands.customers import MergeCustomer, RegisterCustomer
from commands.interactions import RecordInteraction
from infra.audit import proofs
from infra.audit.export import export
from infra.audit.proofs import BadProof, check
from infra.audit.tree import EVENTS
from infra.read_models.reader import Reader
from tests.infra.privacy.erased import owner
from tests.world import World

ANN = ByEmail(email="ann@example.org")
FILES = {"events.jsonl", "checkpoints.jsonl", "checkpoint.txt", "complete.txt", "key.txt",
         "verify.py", "timeline.html"}  # fmt: skip


@pytest.fixture
def bundle(runtime, catch_up, tmp_path):
    world = World(runtime.store)
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann <Canary>"))
    for number in range(20):
        runtime.audit.checkpoint()
        other = ByExternalId(system="shop", id=str(number % 3))
        for who in (ANN, other):
            text = f"message {number}"
            world.ask(RecordInteraction(customer=who, channel="web", kind="visit", message=text))
        catch_up()
    world.ask(MergeCustomer(customer=other, into=ANN, reason="same"))
    catch_up()
    reader, id_ = Reader(runtime), owner(runtime, ANN)
    assert len(reader.same_customer("acme", id_)) == 2
    written = export(runtime, "acme", id_, tmp_path / "bundle")
    assert (written.size, written.waiting) == (runtime.events.head(), 0)
    assert written.events == len(reader.history("acme", id_, limit=500).items) > 25
    return written


def verdict(directory):
    """What the script of the bundle says, far from our code."""
    run = subprocess.run(
        [sys.executable, "-I", "verify.py"], cwd=directory, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return run.returncode, run.stdout + run.stderr


def test_the_script_of_a_bundle_proves_it_without_our_software(bundle):
    assert {file.name for file in bundle.directory.iterdir()} == FILES
    code, told = verdict(bundle.directory)
    assert (code, told.startswith(f"Proven: {bundle.events} events")) == (0, True)
    events = bundle.directory / "events.jsonl"
    events.write_text(events.read_text().replace("visit", "visid", 1))
    code, told = verdict(bundle.directory)
    assert code == 1
    assert told.startswith("NOT PROVEN: The event at position")


def test_the_script_is_short_and_needs_only_cryptography():
    lines = Path(proofs.__file__).read_text().splitlines()
    assert len(lines) <= 150
    imported = {
        line.split()[1].split(".")[0] for line in lines if line.startswith(("import", "from"))
    }
    assert imported - sys.stdlib_module_names == {"cryptography"}


def changed_lines(text, chance):
    """One line less, two swapped, one doubled, one with another proof or position."""
    lines = text.splitlines(keepends=True)
    one, other = sorted(chance.sample(range(len(lines)), 2))
    yield [*lines[:one], *lines[one + 1 :]]
    yield [*lines[:one], lines[other], *lines[one + 1 : other], lines[one], *lines[other + 1 :]]
    yield [*lines[:one], lines[one], *lines[one:]]
    parsed, second = orjson.loads(lines[one]), orjson.loads(lines[other])
    for false in (
        parsed | {"proof": second["proof"]},
        parsed | {"proof": parsed["proof"][:-1]},
        parsed | {"proof": [*parsed["proof"], parsed["proof"][0]]},
        parsed | {"proof": [parsed["proof"][0].rstrip("="), *parsed["proof"][1:]]},
        parsed | {"proof": None},
        parsed | {"position": second["position"]},
        parsed | {"position": 0},
        parsed | {"position": -1},
        parsed | {"envelope": second["envelope"]},
        {},
    ):
        yield [*lines[:one], orjson.dumps(false).decode() + "\n", *lines[one + 1 :]]


def test_a_bundle_with_anything_changed_proves_nothing(bundle):
    chance, file = random.Random(7), bundle.directory / "events.jsonl"
    check(bundle.directory)
    text, tried = file.read_text(), 0
    for _ in range(20):
        for lines in changed_lines(text, chance):
            file.write_text("".join(lines))
            with pytest.raises((BadProof, KeyError, TypeError)):
                check(bundle.directory)
            tried += 1
    file.write_text(text)
    for _ in range(150):
        name = chance.choice(["events.jsonl", "key.txt", "checkpoint.txt", "complete.txt"])
        flip_a_bit(bundle.directory / name, chance, bundle.directory)
    check(bundle.directory)
    assert tried > 200


def flip_a_bit(file, chance, directory):
    raw = file.read_bytes()
    at = chance.randrange(len(raw) - 1)  # not the newline at the end
    file.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :])
    try:
        found = check(directory)
    except (BadProof, ValueError, KeyError, TypeError, AttributeError):
        return
    finally:
        changed = file.read_bytes()
        file.write_bytes(raw)
    # What differs may only be how the JSON around the events is written.
    assert file.name == "events.jsonl"
    same = [[*map(orjson.loads, text.splitlines())] for text in (changed, raw)]
    assert same[0] == same[1], found


def test_the_timeline_is_readable_and_cannot_run_anything(bundle):
    page = (bundle.directory / "timeline.html").read_text()
    assert "Ann &lt;Canary&gt;" in page
    assert "<Canary>" not in page
    for name in FILES - {"timeline.html"}:
        assert "Canary" not in (bundle.directory / name).read_text()


def test_an_old_checkpoint_of_another_history_is_refused(bundle, runtime, tmp_path):
    other = shutil.copytree(bundle.directory, tmp_path / "other")
    forged = runtime.audit.signer.checkpoint(EVENTS, 3, bytes(32))
    lines = (other / "checkpoints.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) >= 3
    first = orjson.loads(lines[0]) | {"checkpoint": forged}
    (other / "checkpoints.jsonl").write_bytes(orjson.dumps(first) + b"\n")
    with pytest.raises(BadProof):
        check(other)
