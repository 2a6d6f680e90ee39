"""Two keys erase a customer over HTTP; one alone does not."""

from collections.abc import Callable

from commands.ports import Who
from infra.approvals import Approvals
from infra.audit.proofs import read_checkpoint
from infra.audit.tree import EVENTS
from infra.runtime import Runtime
from tests.api.conftest import Caller


def registered(caller: Caller) -> str:
    command = {"customer": {"email": "ann@example.org"}, "full_name": "Ann"}
    key = {"idempotency-key": "1"}
    done = caller.post("/v1/commands/customer.register", json=command, headers=key).json()
    subject: str = done["events"][0]["stream"]
    return subject


def test_one_key_asks_and_another_one_approves(
    caller: Callable[..., Caller], catch_up: Callable[[], int], runtime: Runtime
) -> None:
    alice = caller("operate")
    bob, reader = caller("operate", alice.tenant), caller("read", alice.tenant)
    ann = registered(alice)
    catch_up()
    wanted = {"customer": ann, "reason": "asked"}
    asked = alice.post("/v1/privacy/erasures", json=wanted).json()
    approval, body = f"/v1/privacy/requests/{asked['id']}/approval", {"digest": asked["digest"]}
    assert asked["what"]["subjects"] == [ann]
    assert alice.get("/v1/privacy/requests").json()["items"] == [asked]

    refused = alice.post(approval, json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "request.same_person")
    assert bob.post(approval, json={"digest": "0" * 64}).json()["code"] == "request.changed"
    assert caller("operate").post(approval, json=body).status_code == 404
    assert reader.post(approval, json=body).status_code == 403
    assert bob.get(f"/v1/privacy/certificates/{asked['id']}").status_code == 404
    assert reader.get(f"/v1/customers/{ann}").json()["profile"] == {"full_name": "Ann"}

    assert bob.post(approval, json=body).json()["outcome"].startswith("Erased")
    assert bob.post(approval, json=body).json()["code"] == "request.decided"
    catch_up()
    gone = {"redacted": "erased", "certificate": asked["id"]}
    assert reader.get(f"/v1/customers/{ann}").json()["profile"] == {"full_name": gone}
    certificate = bob.get(f"/v1/privacy/certificates/{asked['id']}").json()["certificate"]
    assert '"found": []' in certificate
    signed = reader.get("/v1/audit/checkpoint").json()
    assert signed["key"] == runtime.audit.signer.key(EVENTS)
    assert read_checkpoint(signed["checkpoint"], signed["key"]).size > 0


def test_nobody_is_erased_who_is_not_there(caller: Callable[..., Caller]) -> None:
    nobody = {"customer": "00000000-0000-0000-0000-00000000dead", "reason": "asked"}
    refused = caller("operate").post("/v1/privacy/erasures", json=nobody)
    assert (refused.status_code, refused.json()["code"]) == (404, "customer.unknown")


def test_a_tenant_destroys_no_master_key(caller: Callable[..., Caller], runtime: Runtime) -> None:
    bob = caller("operate")
    asked = Approvals(runtime.pool).ask(Who(bob.tenant, "cli:alice"), "epoch.destroy", {"epoch": 1})
    approval = f"/v1/privacy/requests/{asked.id}/approval"
    refused = bob.post(approval, json={"digest": asked.digest})
    assert (refused.status_code, refused.json()["code"]) == (409, "request.forbidden")
