"""A bundle holds all events of a customer: whoever passes it on can take none out unseen."""

import threading
from dataclasses import replace

import orjson
import pytest

from commands.command import ByEmail, ByExternalId
from commands.customers import ChangeProfile, MergeCustomer, RegisterCustomer
from commands.interactions import RecordInteraction
from commands.ports import Who
from domain.rejected import Rejected
from infra.audit.completeness import COMPLETE, complete
from infra.audit.export import export
from infra.audit.proofs import BadProof, check, read_checkpoint
from infra.audit.signing import Signer
from infra.audit.tree import EVENTS
from infra.privacy import rights
from infra.read_models.reader import Reader
from infra.store.sequencing import Sequencing
from tests.infra.privacy.erased import forget, owner
from tests.world import World

ANN, BOB = ByEmail(email="ann@example.org"), ByEmail(email="bob@example.org")
SHOP = ByExternalId(system="shop", id="1")


@pytest.fixture
def world(runtime, catch_up):
    """Ann, who was merged with somebody of the shop, and Bob between her events."""
    world = World(runtime.store)
    for who in (ANN, BOB, SHOP):
        world.ask(RegisterCustomer(customer=who, full_name="Somebody"))
        world.ask(RecordInteraction(customer=who, channel="web", kind="visit"))
        world.ask(ChangeProfile(customer=who, full_name="Somebody Else"))
    world.ask(MergeCustomer(customer=SHOP, into=ANN, reason="same"))
    world.ask(ChangeProfile(customer=BOB, full_name="Bob"))
    catch_up()
    return world


@pytest.fixture
def bundle(runtime, world, tmp_path):
    return export(runtime, "acme", owner(runtime, ANN), tmp_path / "ann").directory


def number(runtime):
    """Give every event its position, and let no read model know."""
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm.lease SET expires_at = '-infinity' WHERE name = 'sequencer'")
    assert Sequencing(runtime.pool, "another").run_once() > 0


def lines_of(directory):
    return (directory / "events.jsonl").read_text().splitlines(keepends=True)


def event_of(line):
    return orjson.loads(orjson.loads(line)["envelope"])


def refused(directory, *, lines=None, whole=None):
    """In which sentence a bundle is refused that had something replaced."""
    before = {name: (directory / name).read_text() for name in ("events.jsonl", "complete.txt")}
    if lines is not None:
        (directory / "events.jsonl").write_text("".join(lines))
    if whole is not None:
        (directory / "complete.txt").write_text(whole)
    with pytest.raises(BadProof) as no:
        check(directory)
    for name, text in before.items():
        (directory / name).write_text(text)
    check(directory)
    return str(no.value)


def test_whatever_is_taken_out_is_missed(bundle, runtime):
    lines, ann = lines_of(bundle), owner(runtime, ANN)
    positions = [orjson.loads(line)["position"] for line in lines]
    for number, at in enumerate(positions):  # the first, the last, and all between
        told = refused(bundle, lines=lines[:number] + lines[number + 1 :])
        assert told == f"The event at position {at} about {ann} is missing."
    for name in ("stream", "subject"):  # a whole stream; all of one who was merged
        for gone in {event_of(line)[name] for line in lines}:
            left = [line for line in lines if event_of(line)[name] != gone]
            first = next(p for p, line in zip(positions, lines, strict=True) if line not in left)
            told = refused(bundle, lines=left)
            assert told == f"The event at position {first} about {ann} is missing."
    assert "is missing" in refused(bundle, lines=lines[:-3])
    assert "is missing" in refused(bundle, lines=[])


def test_nothing_but_what_was_signed_is_in_a_bundle(bundle, runtime, tmp_path):
    lines, bob = lines_of(bundle), export(runtime, "acme", owner(runtime, BOB), tmp_path / "bob")
    foreign = lines_of(bob.directory)[0]
    assert "more events" in refused(bundle, lines=[*lines, foreign])
    assert "is missing" in refused(bundle, lines=sorted([*lines, foreign], key=at_position))


def at_position(line):
    return orjson.loads(line)["position"]


def test_the_word_for_it_is_of_this_customer_this_tree_and_this_log(
    bundle, runtime, world, catch_up, tmp_path
):
    signer, tree = runtime.audit.signer, runtime.audit.trees[EVENTS]
    whole, ann, bob = (
        (bundle / "complete.txt").read_text(),
        owner(runtime, ANN),
        owner(runtime, BOB),
    )
    told, head = orjson.loads(whole.split("\n")[3]), tree.head()

    def said(tenant=told["tenant"], customers=tuple(told["customers"]), by=signer):
        return complete(by, tenant, customers, head, told["positions"])

    assert said() == whole
    of_bob = (export(runtime, "acme", bob, tmp_path / "bob").directory / "complete.txt").read_text()
    assert f"about {bob} is missing" in refused(bundle, whole=of_bob)
    about_another = "The event at position 1 is about another customer."
    assert refused(bundle, whole=said(customers=[bob])) == about_another
    assert refused(bundle, whole=said(tenant="other")) == about_another
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_bytes(bytes(range(32)))
    assert "is malformed, or not of" in refused(bundle, whole=said(by=Signer(key)))
    forged = said(by=Signer(key)).replace(Signer(key).name, signer.name)
    assert "The signature of" in refused(bundle, whole=forged)

    # Neither passes for the other: a checkpoint says nothing of a customer.
    with pytest.raises(BadProof):
        read_checkpoint(whole, signer.key(EVENTS))
    as_checkpoint = signer.sign(EVENTS, whole.partition("\n\n")[0].replace(COMPLETE, EVENTS))
    assert "is malformed, or not of" in refused(bundle, whole=as_checkpoint)

    world.ask(ChangeProfile(customer=ANN, full_name="Ann at last"))
    catch_up()
    later = export(runtime, "acme", ann, tmp_path / "later")
    of_then = f"complete.txt is of size {head.size}, checkpoint.txt of {later.size}."
    assert refused(later.directory, whole=whole) == of_then
    assert check(bundle)[0] == later.events - 1  # as of its own size it is whole


def test_an_event_that_the_signer_leaves_out_between_two_others_is_missed(bundle, runtime):
    lines = lines_of(bundle)
    gone = next(line for line in lines if event_of(line)["version"] == 2)
    told = orjson.loads((bundle / "complete.txt").read_text().split("\n")[3])
    positions = [at for at in told["positions"] if at != at_position(gone)]
    head, signer = runtime.audit.trees[EVENTS].head(), runtime.audit.signer
    if not any(event_of(e)["stream"] == event_of(gone)["stream"] and event_of(e)["version"] == 3
               for e in lines):  # fmt: skip
        pytest.fail("This event is the last of its stream.")
    whole = complete(signer, "acme", told["customers"], head, positions)
    told = refused(bundle, lines=[line for line in lines if line != gone], whole=whole)
    assert told == "An event between two others was left out before this was signed."


def test_who_is_erased_stays_provable_and_whole(runtime, world, catch_up, tmp_path):
    ann = owner(runtime, ANN)
    before = export(runtime, "acme", ann, tmp_path / "before")
    forget(runtime, ann)
    catch_up()
    after = export(runtime, "acme", ann, tmp_path / "after")
    assert after.events > before.events
    assert [check(each.directory)[0] for each in (before, after)] == [before.events, after.events]
    told = [orjson.loads((each.directory / "complete.txt").read_text().split("\n")[3])
            for each in (before, after)]  # fmt: skip
    assert told[0]["customers"] == told[1]["customers"]
    assert len(told[0]["customers"]) == 2


def test_no_read_model_has_to_know_of_a_merge(runtime, world, tmp_path):
    world.ask(MergeCustomer(customer=ANN, into=BOB, reason="same"))
    number(runtime)
    ann, bob = owner(runtime, ANN), owner(runtime, BOB)
    assert bob not in Reader(runtime).same_customer("acme", ann)
    written = export(runtime, "acme", ann, tmp_path / "all")
    assert (written.events, written.waiting) == (runtime.events.head(), 0)
    assert check(written.directory)[1].startswith(f"{bob} = ")


def test_of_another_tenant_there_is_nothing(runtime, world, catch_up, tmp_path):
    world.who = Who("other", "tests")
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann"))
    catch_up()
    written = export(runtime, "acme", owner(runtime, ANN), tmp_path / "ann")
    assert {event_of(line)["tenant"] for line in lines_of(written.directory)} == {"acme"}
    assert " of acme up to " in check(written.directory)[1]
    with pytest.raises(Rejected) as no:
        export(runtime, "other", owner(runtime, ANN), tmp_path / "nothing")
    assert no.value.code == "export.empty"


def test_all_or_nothing_of_whom_it_is_restricted_to_see_a_part(runtime, world, catch_up, tmp_path):
    rights.restrict(runtime, Who("acme", "cli:officer"), owner(runtime, BOB), "claims")
    world.ask(MergeCustomer(customer=BOB, into=ANN, reason="same"))
    catch_up()
    with runtime.pool.connection() as conn:
        conn.execute("DELETE FROM crm.rights WHERE subject = %s", [owner(runtime, ANN)])
    with pytest.raises(Rejected) as no:
        export(runtime, "acme", owner(runtime, ANN), tmp_path / "part")
    assert no.value.code == "export.restricted"


def test_what_is_not_in_the_log_yet_is_waited_for_and_else_told(runtime, world, tmp_path):
    ann, at_once = owner(runtime, ANN), runtime.settings.model_copy(update={"read_wait_seconds": 0})
    world.ask(ChangeProfile(customer=ANN, full_name="Ann at last"))
    world.ask(ChangeProfile(customer=BOB, full_name="Bob at last"))
    early = export(replace(runtime, settings=at_once), "acme", ann, tmp_path / "early")
    assert early.waiting == 1
    assert check(early.directory)[0] == early.events

    sequencer = threading.Timer(0.1, number, [runtime])
    sequencer.start()
    whole = export(runtime, "acme", ann, tmp_path / "whole")
    sequencer.join()
    assert (whole.events, whole.waiting) == (early.events + 1, 0)
