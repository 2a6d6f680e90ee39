"""Restriction, objection and requests of persons, over HTTP."""

from collections.abc import Callable

import pytest

from tests.api.conftest import Caller
from tests.api.test_privacy import registered


def test_only_a_key_of_the_hold_role_is_shown_what_is_restricted(
    caller: Callable[..., Caller], catch_up: Callable[[], int]
) -> None:
    officer = caller("operate")
    reader, holder = caller("read", officer.tenant), caller("hold", officer.tenant)
    customer = registered(officer)
    catch_up()
    restriction = {"customer": customer, "ground": "accuracy"}
    done = officer.post("/v1/privacy/restrictions", json=restriction)
    assert done.json() == {"customers": [customer]}
    catch_up()
    one, feed = f"/v1/customers/{customer}", "/v1/changes/customer_view"
    for key in (officer, reader):
        assert key.get(one).status_code == 404
        assert key.get(f"{one}/history").json()["items"] == []
        assert key.items("/v1/customers?email=ann@example.org") == []
        assert [row.get("removed") for row in key.items(feed)] == [True]
    assert holder.get(one).json()["profile"] == {"full_name": "Ann"}
    assert len(holder.items(f"{one}/history")) > 2
    assert holder.items("/v1/customers?email=ann@example.org")
    assert reader.get(one).status_code == 404  # nothing of that was remembered for others
    assert holder.post("/v1/privacy/restrictions", json=restriction).status_code == 403
    assert officer.items("/v1/privacy/limits") == [
        {"customer": customer, "grounds": ["accuracy"], "objections": []}
    ]
    assert caller("operate").items("/v1/privacy/limits") == []
    assert officer.post("/v1/privacy/restrictions/lift", json=restriction).status_code == 200
    assert reader.get(one).json()["profile"] == {"full_name": "Ann"}


def test_requests_are_opened_listed_and_extended(
    caller: Callable[..., Caller], catch_up: Callable[[], int]
) -> None:
    officer = caller("operate")
    customer = registered(officer)
    catch_up()
    path = "/v1/privacy/cases"
    asked = {"customer": customer, "kind": "access", "law": "ccpa"}
    id_ = officer.post(path, json=asked).json()["id"]
    catch_up()
    [listed] = officer.items(path)
    assert (listed["id"], listed["law"], listed["overdue"]) == (id_, "ccpa", False)
    assert caller("operate").items(path) == []
    longer = {"reason": "many systems"}
    assert officer.post(f"{path}/{id_}/extension", json=longer).json() == {"id": id_}
    catch_up()
    assert officer.items(path)[0]["extended"]
    objection = {"customer": customer}
    for what in ("objections", "objections/withdraw"):
        done = officer.post(f"/v1/privacy/{what}", json=objection)
        assert done.json() == {"customers": [customer]}
    catch_up()
    assert [each["kind"] for each in officer.items(f"{path}?done=true")] == ["objection", "access"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("cases", {"kind": "access"}, 404),
        ("cases", {"kind": "access", "received": "2999-01-01T00:00:00Z"}, 409),
        ("cases", {"kind": "everything"}, 400),
        ("cases", {"kind": "access", "law": "hammurabi"}, 400),
        ("restrictions", {"ground": "accuracy"}, 404),
        ("restrictions", {"ground": "legal_hold"}, 400),
        ("objections", {}, 404),
        ("cases/00000000-0000-0000-0000-00000000dead/extension", None, 404),
    ],
)
def test_what_cannot_be_meant_is_refused(
    caller: Callable[..., Caller], path: str, body: dict[str, str] | None, status: int
) -> None:
    nobody = {"customer": "00000000-0000-0000-0000-00000000dead"}
    asked = {"reason": "slow"} if body is None else nobody | body
    answer = caller("operate").post(f"/v1/privacy/{path}", json=asked)
    assert answer.status_code == status, answer.text


def test_consent_is_told_with_its_text_and_guards_what_is_sent(
    caller: Callable[..., Caller], catch_up: Callable[[], int]
) -> None:
    officer = caller("operate")
    reader, customer = caller("read", officer.tenant), registered(officer)
    said = {"customer": customer, "purpose": "news", "channel": "email"}
    asked = f"/v1/customers/{customer}/consent?purpose=news&channel=email"
    assert reader.get(asked).json() == {
        "granted": False, "text_version": None, "since": None,
        "may_send": False, "why": "consent.missing",
    }  # fmt: skip
    officer.command("customer.grant_consent", **said, text_version="v7")
    now = reader.get(asked).json()
    assert (now["granted"], now["text_version"], now["may_send"]) == (True, "v7", True)
    before = reader.get(f"{asked}&at=2020-01-01T00:00:00Z").json()
    assert (before["granted"], before["may_send"]) == (False, False)
    officer.post("/v1/privacy/objections", json={"customer": customer, "purpose": "news"})
    now = reader.get(asked).json()
    assert (now["granted"], now["may_send"], now["why"]) == (True, False, "rights.objection")
    nobody = asked.replace(customer, "00000000-0000-0000-0000-00000000dead")
    assert reader.get(nobody).status_code == 404
    assert reader.get(asked.replace("&channel=email", "")).status_code == 400
    assert caller("read").get(asked).status_code == 404
