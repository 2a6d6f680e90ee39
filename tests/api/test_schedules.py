"""Retention schedules over HTTP."""

from collections.abc import Callable

from tests.api.conftest import Caller

RULE = {
    "name": "messages", "groups": ["content"], "trigger": "last_event", "purpose": None,
    "period": "3 years", "hold": None,
}  # fmt: skip


def test_one_key_loads_schedules_and_another_one_approves(caller: Callable[..., Caller]) -> None:
    alice = caller("operate")
    bob, reader = caller("operate", alice.tenant), caller("read", alice.tenant)
    path = "/v1/privacy/schedules"
    assert alice.get(path).json() == {"version": 0, "schedules": []}
    assert reader.get(path).status_code == 403
    wrong = {"schedules": [RULE | {"period": "soon"}]}
    assert alice.post(path, json=wrong).status_code == 400
    asked = alice.post(path, json={"schedules": [RULE]}).json()
    assert (asked["kind"], asked["what"]) == ("schedules", {"schedules": [RULE]})
    approval = f"/v1/privacy/requests/{asked['id']}/approval"
    assert alice.post(approval, json={"digest": asked["digest"]}).status_code == 409
    done = bob.post(approval, json={"digest": asked["digest"]}).json()
    assert "version 1" in done["outcome"]
    assert alice.get(path).json() == {"version": 1, "schedules": [RULE]}
    assert alice.get(f"{path}/due").json() == {"items": []}
    assert caller("operate").get(path).json()["version"] == 0
