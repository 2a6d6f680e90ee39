"""Who may do what: keys, roles, and that no tenant ever sees anything of another."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from api.auth import MAY, OPEN
from api.docs import document
from consumers.timers import fire
from infra.api_keys import ApiKeys, Role
from infra.read_models.due import DueCases
from infra.runtime import Runtime
from tests.api.test_retention_reads import HEALTH, raise_alert
from tests.api.test_sla import PROMISE

ID = "0190a0a0-0000-7000-8000-000000000000"

POLICY: dict[tuple[str, str], Role | None] = {
    ("GET", "/livez"): None,
    ("GET", "/readyz"): None,
    ("GET", "/metrics"): None,
    ("GET", "/docs"): None,
    ("GET", "/openapi.json"): None,
    ("POST", "/v1/events"): "publish",
    ("POST", "/v1/commands/{name}"): "publish",
    ("GET", "/v1/customers"): "read",
    ("GET", "/v1/customers/{id}"): "read",
    ("GET", "/v1/customers/{id}/history"): "read",
    ("GET", "/v1/churn-alerts"): "read",
    ("GET", "/v1/leads"): "read",
    ("GET", "/v1/leads/{id}"): "read",
    ("GET", "/v1/pipeline/summary"): "read",
    ("GET", "/v1/cases"): "read",
    ("GET", "/v1/cases/{id}"): "read",
    ("GET", "/v1/sla/summary"): "read",
    ("GET", "/v1/sla/wall"): "read",
    ("GET", "/v1/sla/queue"): "read",
    ("GET", "/v1/sla/caller"): "read",
    ("GET", "/v1/sla/compliance"): "read",
    ("GET", "/v1/sla/credits"): "read",
    ("POST", "/v1/sla/dry-run"): "operate",
    ("GET", "/v1/agreements"): "read",
    ("GET", "/v1/agreements/{id}"): "read",
    ("GET", "/v1/agreements/{id}/review"): "read",
    ("GET", "/v1/changes/{read_model}"): "read",
    ("GET", "/v1/customers/{id}/features"): "read",
    ("GET", "/v1/customers/{id}/health"): "read",
    ("GET", "/v1/retention/queue"): "read",
    ("GET", "/v1/retention/alerts"): "read",
    ("GET", "/v1/retention/policy"): "read",
    ("GET", "/v1/retention/models"): "read",
    ("GET", "/v1/retention/report"): "read",
    ("POST", "/v1/privacy/erasures"): "operate",
    ("GET", "/v1/privacy/requests"): "operate",
    ("POST", "/v1/privacy/requests/{id}/approval"): "operate",
    ("GET", "/v1/privacy/certificates/{id}"): "operate",
    ("GET", "/v1/customers/{id}/consent"): "read",
    ("GET", "/v1/customers/{id}/replay"): "read",
    ("POST", "/v1/privacy/schedules"): "operate",
    ("GET", "/v1/privacy/schedules"): "operate",
    ("GET", "/v1/privacy/schedules/due"): "operate",
    ("POST", "/v1/privacy/cases"): "operate",
    ("GET", "/v1/privacy/cases"): "operate",
    ("POST", "/v1/privacy/cases/{id}/extension"): "operate",
    ("POST", "/v1/privacy/restrictions"): "operate",
    ("POST", "/v1/privacy/restrictions/lift"): "operate",
    ("POST", "/v1/privacy/objections"): "operate",
    ("POST", "/v1/privacy/objections/withdraw"): "operate",
    ("POST", "/v1/privacy/rectifications"): "operate",
    ("GET", "/v1/privacy/limits"): "operate",
    ("GET", "/v1/audit/checkpoint"): "read",
    ("GET", "/v1/refused"): "operate",
    ("POST", "/v1/refused/{id}/retry"): "operate",
    ("DELETE", "/v1/refused/{id}"): "operate",
}
"""What every route needs. A new route fails a test until somebody decides here who may call it."""

CLOSED = [(method, path, role) for (method, path), role in POLICY.items() if role is not None]


def filled(path: str) -> str:
    return (
        path.replace("{id}", ID)
        .replace("{name}", "customer.register")
        .replace("{read_model}", "customer_view")
    )


def routes(app: Any) -> set[tuple[str, str]]:
    """Every route, however it was put there; a GET answers HEAD, too."""
    found: set[tuple[str, str]] = set()
    pending = list(app.routes)
    while pending:
        route = pending.pop()
        if isinstance(route, (Route, APIRoute)):
            found |= {(method, route.path) for method in route.methods or () if method != "HEAD"}
        else:
            pending.extend(getattr(route, "original_router", route).routes)
    return found


def test_every_route_has_a_policy(client: Any) -> None:
    assert routes(client.app) == set(POLICY)


def test_only_what_is_declared_open_is_open() -> None:
    assert {path for (_, path), role in POLICY.items() if role is None} == OPEN


@pytest.mark.parametrize(("method", "path", "needed"), CLOSED)
def test_a_role_may_do_what_is_its_own_and_nothing_else(
    caller: Any, method: str, path: str, needed: Role
) -> None:
    for role, may in MAY.items():
        answer = caller(role).call(method, filled(path))
        if needed in may:
            assert answer.status_code not in (401, 403), (role, answer.text)
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "key.role")
            assert needed in answer.json()["detail"]


def test_roles_may_do_different_things() -> None:
    assert MAY["publish"] & MAY["read"] == set()
    assert MAY["operate"] == {"publish", "read", "operate"}
    assert MAY["hold"] == {"read", "hold"}


@pytest.mark.parametrize(("method", "path", "needed"), CLOSED)
@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key.missing"),
        ("", "key.missing"),
        ("Basic Y3JtOmNybQ==", "key.missing"),
        ("Bearer", "key.missing"),
        ("Bearer crm_000000000000_" + "a" * 43, "key.unknown"),
        ("Bearer x\x00y", "key.unknown"),
    ],
)
def test_nobody_gets_in_without_a_key(
    client: Any, method: str, path: str, needed: Role, header: str | None, code: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = client.request(method, filled(path), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/livez/x", "//livez"])
def test_what_is_not_there_is_not_told_to_anybody(client: Any, path: str) -> None:
    assert client.request("GET", path).status_code == 401


@pytest.mark.parametrize("path", sorted(OPEN))
def test_what_is_open_holds_nothing_of_a_tenant(acme: Any, path: str) -> None:
    acme.register("ann@example.org", full_name="Annabel")
    answer = acme.client.get(path)
    assert answer.status_code in (200, 503)
    assert acme.tenant not in answer.text
    assert "Annabel" not in answer.text


def test_a_revoked_key_is_shut_out(
    acme: Any, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert acme.get("/v1/leads").status_code == 200
    ApiKeys(runtime.pool).revoke(acme.key.split("_")[1])
    monkeypatch.setattr("infra.api_keys.CACHE_SECONDS", 0.0)
    assert acme.get("/v1/leads").status_code == 401


# ---- Tenants -------------------------------------------------------------------------------------


def keep(acme: Any, customer: str) -> None:
    """Have a policy, a fitted model and an open churn alert."""
    acme.command("retention_policy.set", policy=HEALTH)
    renewals = {"model": "sbg", "ended": [369, 163, 86, 0], "going_on": [0, 0, 0, 382]}
    since, until = "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"
    acme.command("value_model.fit", data_from=since, data_until=until, data=renewals)
    raise_alert(acme, customer)


def rights(one: Any, other: Any, customer: str) -> None:
    """Have a request of a person, an objection, and somebody whose data is due to be destroyed."""
    one.post("/v1/privacy/cases", json={"customer": customer, "kind": "access"})
    one.post("/v1/privacy/objections", json={"customer": customer, "purpose": "news"})
    one.command("interaction.record", customer={"email": "old@example.org"}, channel="web",
                kind="visit", message="long ago", time="2020-01-01T00:00:00Z")  # fmt: skip
    rule = {"name": "x", "groups": ["content"], "trigger": "last_event", "period": "1 day"}
    asked = one.post("/v1/privacy/schedules", json={"schedules": [rule]}).json()
    approval = f"/v1/privacy/requests/{asked['id']}/approval"
    assert other.post(approval, json={"digest": asked["digest"]}).status_code == 200


def erased(one: Any, other: Any, catch_up: Callable[[], int]) -> str:
    """Erase somebody; gives the id of the certificate."""
    wanted = {"customer": one.register("zoe@example.org"), "reason": "asked"}
    catch_up()
    asked = one.post("/v1/privacy/erasures", json=wanted).json()
    approval = f"/v1/privacy/requests/{asked['id']}/approval"
    assert other.post(approval, json={"digest": asked["digest"]}).status_code == 200
    return str(asked["id"])


@pytest.fixture
def theirs(acme: Any, caller: Any, runtime: Any, catch_up: Callable[[], int]) -> dict[str, str]:
    """What another tenant has: one of everything, all under ids that we know."""
    desk = {"system": "desk", "id": "1"}
    ann = {"email": "ann@example.org"}
    customer = acme.register("ann@example.org")
    agreed = acme.command("agreement.define", agreement=desk, promise=PROMISE,
                          applies_from="2024-01-01T00:00:00Z")  # fmt: skip
    opened = acme.command("case.open", case=desk, customer=ann, channel="mail",
                          time="2025-01-01T00:00:00Z")  # fmt: skip
    captured = acme.command("lead.capture", lead=desk, customer=ann, source="web")
    for day in (1, 2, 3):
        acme.command("interaction.record", customer=ann, channel="web", kind="visit",
                     time=f"2025-01-0{day}T00:00:00Z")  # fmt: skip
    acme.post("/v1/events", json={"id": "1", "source": "s", "type": "nothing", "data": {}})
    keep(acme, customer)
    catch_up()
    rights(acme, caller("operate", acme.tenant), customer)
    catch_up()
    fire(DueCases(runtime.pool, runtime.tables["sla_clocks"].name), runtime.ports)
    catch_up()
    return {
        "customer": customer,
        "agreement": agreed["events"][-1]["stream"],
        "case": opened["events"][-1]["stream"],
        "lead": captured["events"][-1]["stream"],
        "refused": acme.items("/v1/refused")[0]["id"],
        "certificate": erased(acme, caller("operate", acme.tenant), catch_up),
        "token": captured["token"],
        "changes": acme.get("/v1/changes/customer_view").json()["next"],
    }


LISTINGS = [
    "/v1/customers", "/v1/customers?email=ann@example.org", "/v1/leads", "/v1/cases",
    "/v1/pipeline/summary", "/v1/sla/summary", "/v1/churn-alerts", "/v1/refused",
    "/v1/changes/customer_view", "/v1/changes/sales_pipeline", "/v1/changes/sla_clocks",
    "/v1/changes/churn_alerts", "/v1/changes/customer_features", "/v1/changes/save_queue",
    "/v1/retention/queue", "/v1/retention/alerts", "/v1/retention/models",
    "/v1/privacy/requests", "/v1/privacy/cases", "/v1/privacy/limits",
    "/v1/privacy/schedules/due",
    "/v1/agreements", "/v1/sla/wall", "/v1/sla/queue", "/v1/sla/compliance", "/v1/sla/credits",
    "/v1/leads?customer={customer}", "/v1/cases?customer={customer}",
]  # fmt: skip
SINGLES = [
    "/v1/customers/{customer}", "/v1/customers/{customer}?effective_at=2030-01-01T00:00:00Z",
    "/v1/customers/{customer}/history", "/v1/leads/{lead}", "/v1/cases/{case}",
    "/v1/customers/{customer}/features", "/v1/customers/{customer}/health",
    "/v1/retention/policy", "/v1/agreements/{agreement}", "/v1/agreements/{agreement}/review",
    "/v1/privacy/certificates/{certificate}",
    "/v1/customers/{customer}/consent?purpose=news&channel=email",
    "/v1/customers/{customer}/replay?as_known_at=2900-01-01T00:00:00Z",
]  # fmt: skip
CALLER = "/v1/sla/caller?email=ann@example.org"
REPORTS = ["/v1/retention/report", "/v1/privacy/schedules"]
SAME_FOR_ALL = {"/v1/audit/checkpoint"}
"""Of the whole log: its size and its root."""


def test_a_tenant_sees_its_own(acme: Any, theirs: dict[str, str]) -> None:
    """The control: without it, the tests below would pass on an empty database."""
    for path in LISTINGS:
        assert acme.items(path.format(**theirs)), path
    for path in SINGLES:
        assert acme.get(path.format(**theirs)).status_code == 200, path
    for path in REPORTS:
        assert any(acme.get(path).json().values()), path
    assert acme.get(CALLER).json()["customer"] == theirs["customer"]


def test_a_tenant_sees_nothing_of_another(caller: Any, theirs: dict[str, str]) -> None:
    other = caller()
    for path in LISTINGS:
        assert other.items(path.format(**theirs)) == [], path
    for path in SINGLES:
        assert other.get(path.format(**theirs)).status_code == 404, path
    for path in REPORTS:
        assert not any(other.get(path).json().values()), path
    assert other.get(CALLER).json()["customer"] is None


def test_every_read_is_part_of_the_matrix(client: Any) -> None:
    read = {path for (method, path) in POLICY if method == "GET" and path not in OPEN}
    tried = {path.split("?")[0] for path in (*LISTINGS, *SINGLES, *REPORTS, CALLER)}
    names = {"{customer}": "{id}", "{lead}": "{id}", "{case}": "{id}", "{agreement}": "{id}",
             "{certificate}": "{id}"}  # fmt: skip
    for ours, theirs_ in names.items():
        tried = {path.replace(ours, theirs_) for path in tried}
    tried = {"/v1/changes/{read_model}" if "/changes/" in path else path for path in tried}
    assert tried == read - SAME_FOR_ALL


def test_a_tenant_changes_nothing_of_another(
    caller: Any, theirs: dict[str, str], counts: Any
) -> None:
    other, before = caller(), counts()
    message = f"/v1/refused/{theirs['refused']}"
    assert other.post(f"{message}/retry").status_code == 404
    assert other.call("DELETE", message).status_code == 404
    for name, fields in (
        ("customer.assign_tier", {"customer": theirs["customer"], "tier": "gold"}),
        ("case.close", {"case": theirs["case"]}),
        ("lead.win", {"lead": theirs["lead"]}),
    ):
        answer = other.post(f"/v1/commands/{name}", json=fields)
        assert answer.status_code == 422
        assert answer.json()["code"].endswith(".unknown")
    assert counts() == before


def test_the_same_identifier_and_id_are_somebody_else_for_another_tenant(
    acme: Any, caller: Any, theirs: dict[str, str], catch_up: Callable[[], int]
) -> None:
    other = caller()
    desk = {"system": "desk", "id": "1"}
    opened = other.command(
        "case.open", case=desk, customer={"email": "ann@example.org"}, channel="x"
    )
    assert opened["status"] == "accepted"
    catch_up()
    [ann] = other.items("/v1/customers")
    assert ann["id"] != theirs["customer"]
    requests = {"itself"}  # of persons, about their data
    assert {case["channel"] for case in acme.items("/v1/cases")} - requests == {"mail"}


def test_a_token_of_another_tenant_is_as_unknown_as_none_at_all(
    caller: Any, theirs: dict[str, str]
) -> None:
    answer = caller().get("/v1/leads", headers={"X-Read-At-Least": theirs["token"]})
    assert (answer.status_code, answer.json()["code"]) == (400, "token.unknown")


def test_openapi_says_the_same(client: Any) -> None:
    told = document(client.app)
    for (method, path), role in POLICY.items():
        operation = told["paths"].get(filled(path) if "{name}" in path else path, {})
        if role is not None:
            assert operation[method.lower()]["x-role"] == role
