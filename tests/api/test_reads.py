"""Reading: the answers themselves, pages, filters, instants, and 304."""

from datetime import UTC, datetime
from time import sleep
from typing import Any

import pytest

from infra.read_models.reader import Reader

EUR = "EUR"
ANN, BOB, CID = "ann@example.org", "bob@example.org", "cid@example.org"
NOBODY = "0190a0a0-0000-7000-8000-000000000000"


def now() -> str:
    """An instant between what was recorded before and what will be recorded after."""
    sleep(0.002)
    instant = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    sleep(0.002)
    return instant


def pages(acme: Any, path: str, limit: int) -> list[list[Any]]:
    """Follow `next` to the end."""
    found, after = [], ""
    joint = "&" if "?" in path else "?"
    while after is not None:
        page = acme.get(f"{path}{joint}limit={limit}&after={after}").json()
        found.append(page["items"])
        after = page["next"]
    return found


# ---- Customers -----------------------------------------------------------------------------------


def test_a_customer_is_shown_with_personal_data_opened(acme: Any, catch_up: Any) -> None:
    id_ = acme.register(ANN, full_name="Ann Other", attributes={"plan": "gold"})
    acme.command("customer.record_purchase", customer=id_, amount={"amount": 1999, "currency": EUR})
    catch_up()
    ann = acme.get(f"/v1/customers/{id_}").json()
    assert ann["id"] == id_
    assert ann["profile"] == {"full_name": "Ann Other", "attributes": {"plan": "gold"}}
    assert ann["identifiers"] == [{"kind": "email", "system": "", "value": ANN}]
    assert ann["revenue"] == {EUR: 1999}
    assert acme.items("/v1/customers") == [ann]


def test_what_has_no_key_any_more_is_shown_as_erased(
    acme: Any, catch_up: Any, runtime: Any
) -> None:
    id_ = acme.register(ANN, full_name="Ann Other")
    with runtime.pool.connection() as conn:
        conn.execute("DELETE FROM crm_keys.data_key WHERE subject = %s", [id_])
    runtime.keyring.forget()
    catch_up()
    ann = acme.get(f"/v1/customers/{id_}").json()
    erased = {"redacted": "erased"}
    assert ann["profile"] == {"full_name": erased}
    assert ann["identifiers"] == [{"kind": "email", "system": "", "value": erased}]
    told = {e["type"]: e["data"] for e in acme.items(f"/v1/customers/{id_}/history")}
    assert told["customer.identifier_added.v1"]["value"] == erased
    assert told["customer.profile_changed.v1"]["full_name"] == erased
    assert told["customer.profile_changed.v1"]["country"] is None


@pytest.mark.parametrize(
    "query", ["email=Ann@Example.org", "phone=0049 30 1234", "system=shop&id=A%2F7"]
)
def test_a_customer_is_found_by_any_identifier(acme: Any, catch_up: Any, query: str) -> None:
    id_ = acme.register(ANN)
    for identifier in ({"phone": "0049-30-1234"}, {"system": "shop", "id": "A/7"}):
        acme.command("customer.add_identifier", customer=id_, identifier=identifier)
    acme.register(BOB)
    catch_up()
    assert [each["id"] for each in acme.items(f"/v1/customers?{query}")] == [id_]


@pytest.mark.parametrize("query", ["email=x@example.org", "phone=123456", "system=shop&id=1"])
def test_an_unknown_identifier_finds_nobody(acme: Any, query: str) -> None:
    assert acme.items(f"/v1/customers?{query}") == []


@pytest.mark.parametrize(
    "query",
    ["email=nobody", "phone=abc", "system=shop", "id=7", "email=a@b.de&phone=123456",
     "email=a@b.de&stage=friend", "email=a@b.de&limit=5", "email=%00@b.de", "id=%00&system=a"],
)  # fmt: skip
def test_a_lookup_that_makes_no_sense_is_refused(acme: Any, query: str) -> None:
    answer = acme.get(f"/v1/customers?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")


def test_a_merged_customer_is_shown_as_the_one_that_stands_for_it(acme: Any, catch_up: Any) -> None:
    ann, bob, cid = acme.register(ANN, full_name="Ann"), acme.register(BOB), acme.register(CID)
    for customer in (ann, bob, cid):
        amount = {"amount": 100, "currency": EUR}
        acme.command("customer.record_purchase", customer=customer, amount=amount)
    acme.command("customer.merge", customer=cid, into=bob, reason="same")
    acme.command("customer.merge", customer=bob, into=ann, reason="same")
    catch_up()
    shown = [acme.get(f"/v1/customers/{id_}").json() for id_ in (ann, bob, cid)]
    assert shown[0] == shown[1] == shown[2]
    assert (shown[0]["id"], shown[0]["revenue"]) == (ann, {EUR: 300})
    assert sorted(shown[0]["merged"]) == sorted([bob, cid])
    assert {held["value"] for held in shown[0]["identifiers"]} == {ANN, BOB, CID}
    assert acme.items("/v1/customers") == [shown[0]] == acme.items(f"/v1/customers?email={CID}")
    acme.command("customer.unmerge", customer=bob, reason="not the same")
    catch_up()
    assert acme.get(f"/v1/customers/{ann}").json()["revenue"] == {EUR: 100}
    assert acme.get(f"/v1/customers/{cid}").json()["id"] == bob


def test_leads_and_cases_of_a_customer_are_those_of_all_who_were_merged(
    acme: Any, catch_up: Any
) -> None:
    ann, bob = acme.register("ann@example.org"), acme.register("bob@example.org")
    acme.command("lead.capture", lead={"system": "x", "id": "1"}, customer=bob, source="web")
    acme.command("case.open", case={"system": "x", "id": "1"}, customer=bob, channel="web")
    acme.command("customer.merge", customer=bob, into=ann, reason="same")
    catch_up()
    for kind in ("leads", "cases"):
        for customer in (ann, bob):
            found = acme.get(f"/v1/{kind}", params={"customer": customer}).json()["items"]
            assert [each["customer"] for each in found] == [bob]
    acme.command("customer.unmerge", customer=bob, reason="not the same")
    catch_up()
    for kind in ("leads", "cases"):
        assert acme.get(f"/v1/{kind}", params={"customer": ann}).json()["items"] == []


def test_absurd_amounts_hold_up_nobody_else(acme: Any, catch_up: Any, runtime: Any) -> None:
    ann = acme.register(ANN)
    purchases = [
        {"id": str(number), "source": "shop", "type": "customer.record_purchase",
         "data": {"customer": ann, "amount": {"amount": 2**53, "currency": EUR}}}
        for number in range(1024)
    ]  # fmt: skip
    assert acme.post("/v1/events", json=purchases).status_code == 207
    bob = acme.register(BOB)
    catch_up()
    assert acme.get(f"/v1/customers/{bob}").status_code == 200
    assert acme.get(f"/v1/customers/{ann}").json()["revenue"] == {EUR: 1023 * 2**53}
    with runtime.pool.connection() as conn:
        parked = conn.execute("DELETE FROM crm.parked WHERE tenant = %s RETURNING key, reason",
                              [acme.tenant]).fetchall()  # fmt: skip
    assert [(key, "revenue" in reason) for key, reason in parked] == [(ann, True)]


# ---- As of an instant ----------------------------------------------------------------------------


def test_a_customer_as_it_was_known(acme: Any, catch_up: Any) -> None:
    before_all = now()
    ann, bob = acme.register(ANN), acme.register(BOB)
    before_merge = now()
    acme.command("customer.merge", customer=bob, into=ann, reason="same")
    merged = now()
    acme.command("customer.unmerge", customer=bob, reason="not the same")
    acme.command("customer.assign_tier", customer=ann, tier="gold")
    catch_up()

    def as_of(id_: str, instant: str) -> Any:
        return acme.get(f"/v1/customers/{id_}?recorded_at={instant}")

    assert as_of(ann, before_all).status_code == 404
    assert as_of(bob, before_merge).json()["id"] == bob
    assert as_of(bob, merged).json()["id"] == ann
    assert as_of(ann, merged).json()["merged"] == [bob]
    assert as_of(ann, merged).json()["tier"] is None
    for id_ in (ann, bob):
        assert as_of(id_, now()).json() == acme.get(f"/v1/customers/{id_}").json()


def test_late_truth_counts_from_when_it_happened(acme: Any, catch_up: Any) -> None:
    ann = acme.command(
        "customer.register", customer={"email": ANN}, time="2025-01-01T00:00:00Z"
    )["events"][0]["stream"]  # fmt: skip

    def assign(tier: str, time: str) -> None:
        acme.command("customer.assign_tier", customer=ann, tier=tier, time=time)

    assign("silver", "2025-03-01T00:00:00Z")
    known = now()
    assign("bronze", "2025-02-01T00:00:00Z")
    catch_up()

    def tier(**instants: str) -> Any:
        return acme.get(f"/v1/customers/{ann}", params=instants).json()["tier"]

    assert tier(effective_at="2025-01-15T00:00:00Z") is None
    assert tier(effective_at="2025-02-15T00:00:00Z") == "bronze"
    assert tier(effective_at="2025-03-15T00:00:00Z") == "silver"
    assert tier(effective_at="2025-02-15T00:00:00Z", recorded_at=known) is None
    assert tier(effective_at="2025-03-15T00:00:00Z", recorded_at=known) == "silver"


def test_a_history_is_complete_and_in_order(acme: Any, catch_up: Any) -> None:
    ann, bob = acme.register(ANN, full_name="Ann"), acme.register(BOB)
    acme.command("case.open", case={"system": "d", "id": "1"}, customer=bob, channel="mail",
                 title="Help")  # fmt: skip
    acme.command("customer.merge", customer=bob, into=ann, reason="same")
    catch_up()
    told = acme.items(f"/v1/customers/{ann}/history?limit=1000")
    assert told == acme.items(f"/v1/customers/{bob}/history?limit=1000")
    positions = [event["position"] for event in told]
    assert positions == sorted(set(positions))
    assert {event["subject"] for event in told} == {ann, bob}
    assert [e["data"]["title"] for e in told if e["type"] == "case.opened.v1"] == ["Help"]
    assert [e for page in pages(acme, f"/v1/customers/{ann}/history", 2) for e in page] == told
    assert all(set(event["data"]).isdisjoint({"sealed"}) for event in told)
    assert {event["authid"] for event in told} == {f"key:{acme.key.split('_')[1]}"}


def test_a_history_can_be_filtered(acme: Any, catch_up: Any) -> None:
    ann = acme.register(ANN)
    early, late = "2025-01-01T00:00:00Z", "2025-06-01T00:00:00Z"
    for number, time in enumerate((late, early)):
        acme.command("case.open", case={"system": "d", "id": str(number)}, customer=ann,
                     channel="mail", time=time)  # fmt: skip
    known = now()
    acme.command("case.close", case={"system": "d", "id": "0"})
    catch_up()
    history = f"/v1/customers/{ann}/history"
    opened = acme.items(f"{history}?types=case.opened.v1")
    assert [event["time"] for event in opened] == [late, early]
    both = acme.items(f"{history}?types=case.opened.v1&types=case.closed.v1")
    assert len(both) == 3
    stream = acme.items(f"{history}?stream={opened[0]['stream']}")
    assert [event["type"] for event in stream] == ["case.opened.v1", "case.closed.v1"]
    assert acme.items(f"{history}?effective_before={late}") == [opened[1]]
    before = acme.items(f"{history}?recorded_before={known}")
    assert [e["type"] for e in before[-2:]] == ["case.opened.v1"] * 2
    assert acme.items(f"{history}?recorded_before={before[0]['recordedtime']}") == []


def test_a_history_needs_no_read_model(acme: Any, runtime: Any) -> None:
    ann = acme.register(ANN)
    found = Reader(runtime).history(acme.tenant, ann)
    assert found is not None


# ---- Leads and cases -----------------------------------------------------------------------------


def test_leads_are_listed_filtered_and_added_up(acme: Any, catch_up: Any) -> None:
    ann = acme.register(ANN)
    for number, amount in enumerate((1000, 2000, 3000)):
        lead = {"system": "crm", "id": str(number)}
        acme.command("lead.capture", lead=lead, customer=ann, source="web")
        value = {"amount": amount, "currency": EUR}
        acme.command("lead.estimate_value", lead=lead, value=value)
    acme.command("lead.assign", lead={"system": "crm", "id": "0"}, owner="Eve")
    acme.command("lead.win", lead={"system": "crm", "id": "2"})
    catch_up()
    leads = acme.items("/v1/leads")
    assert [lead["amount"] for lead in leads if lead["status"] == "won"] == [3000]
    assert acme.get(f"/v1/leads/{leads[0]['id']}").json() == leads[0]
    assert [lead["amount"] for lead in acme.items("/v1/leads?owner=Eve")] == [1000]
    assert len(acme.items(f"/v1/leads?customer={ann}&status=open&stage=new")) == 2
    assert acme.items("/v1/leads?stage=proposal") == []
    [total] = acme.items("/v1/pipeline/summary?group_by=stage&pipeline=sales")
    assert (total["leads"], total["open_amount"], total["won_amount"]) == (3, 3000, 3000)
    assert total["weighted_amount"] == 300
    assert acme.items("/v1/pipeline/summary?pipeline=other") == []
    periods = acme.items(f"/v1/pipeline/summary?group_by=month&decided_from={now()[:10]}T00:00:00Z")
    assert [each["won"] for each in periods] == [1]


def test_the_clocks_of_cases_stand_as_of_an_instant(acme: Any, catch_up: Any) -> None:
    opened = "2025-01-01T00:00:00Z"
    acme.command("case.open", case={"system": "d", "id": "1"}, customer={"email": ANN},
                 channel="mail", priority="urgent", time=opened)  # fmt: skip
    catch_up()
    [case] = acme.items("/v1/cases")
    assert (case["first_answer"], case["resolution"]) == ("breached", "breached")
    soon = acme.get(f"/v1/cases/{case['id']}?at=2025-01-01T00:29:00Z").json()
    assert (soon["first_answer"], soon["resolution"]) == ("running", "running")
    later = acme.get(f"/v1/cases/{case['id']}?at=2025-01-01T00:31:00Z").json()
    assert (later["first_answer"], later["resolution"]) == ("breached", "running")
    assert acme.items("/v1/cases?verdict=running") == []
    assert len(acme.items("/v1/cases?verdict=running&at=2025-01-01T00:31:00Z&status=open")) == 1
    [total] = acme.items("/v1/sla/summary")
    assert (total["priority"], total["resolution_breached"]) == ("urgent", 1)
    [total] = acme.items("/v1/sla/summary?at=2025-01-01T00:00:00Z")
    assert total["resolution_breached"] == 0


def test_churn_alerts_depend_on_when_they_are_asked(acme: Any, catch_up: Any) -> None:
    for day in (1, 8, 15):
        acme.command("interaction.record", customer={"email": ANN}, channel="web", kind="visit",
                     time=f"2025-01-{day:02}T00:00:00Z")  # fmt: skip
    catch_up()
    assert acme.items("/v1/churn-alerts?at=2025-02-05T00:00:00Z") == []
    [alert] = acme.items("/v1/churn-alerts?at=2025-02-06T00:00:00Z")
    assert (alert["silent_days"], alert["usual_gap_days"]) == (22, 7)


# ---- Pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/leads", "/v1/cases", "/v1/refused"])
def test_pages_hold_everything_once(acme: Any, catch_up: Any, path: str) -> None:
    for number in range(5):
        ref = {"system": "x", "id": str(number)}
        acme.register(f"a{number}@example.org")
        acme.command("lead.capture", lead=ref, customer={"email": ANN}, source="web")
        acme.command("case.open", case=ref, customer={"email": ANN}, channel="web")
        acme.post("/v1/events", json={"id": f"{number}", "source": "s", "type": "no", "data": {}})
    catch_up()
    whole = acme.items(path)
    assert len(whole) >= 5
    found = pages(acme, path, 2)
    assert [item for page in found for item in page] == whole
    assert [len(page) for page in found[:-1]] == [2] * (len(found) - 1)
    assert found[-1]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=1001", "limit=x", "limit=", "after=x", "after=%00", "after=cDE",
        "after=azAxOTBhMGEwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMA%3D%3D", "stage=none",
        "tier=%00", "colour=red", "Limit=1", "at_least=x", "at_least=dzk5OTk5OTk5OTk",
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused(acme: Any, query: str) -> None:
    answer = acme.get(f"/v1/customers?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].isprintable()


def test_an_unknown_parameter_is_named(acme: Any) -> None:
    for path in (f"/v1/customers/{NOBODY}", "/v1/sla/summary", "/v1/changes/sla_clocks",
                 f"/v1/leads/{NOBODY}", "/v1/refused"):  # fmt: skip
        answer = acme.get(f"{path}?statsu=open")
        assert answer.status_code == 400
        assert "statsu" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/v1/customers/{NOBODY}", "customer.unknown"),
        (f"/v1/customers/{NOBODY}?recorded_at=2025-01-01T00:00:00Z", "customer.unknown"),
        (f"/v1/customers/{NOBODY}/history", "customer.unknown"),
        (f"/v1/leads/{NOBODY}", "lead.unknown"),
        (f"/v1/cases/{NOBODY}", "case.unknown"),
        ("/v1/changes/nothing", "read_model.unknown"),
        ("/v1/nothing", "route.unknown"),
        ("/", "route.unknown"),
    ],
)
def test_what_is_not_there_is_not_found(acme: Any, path: str, code: str) -> None:
    answer = acme.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_a_lead_is_not_a_customer(acme: Any, catch_up: Any) -> None:
    done = acme.command(
        "lead.capture", lead={"system": "x", "id": "1"}, customer={"email": ANN}, source="web"
    )
    catch_up()
    lead = done["events"][-1]["stream"]
    assert acme.get(f"/v1/customers/{lead}/history").status_code == 404


def test_another_method_is_not_allowed(acme: Any) -> None:
    for method, path in (("POST", "/v1/customers"), ("GET", "/v1/events"), ("PUT", "/livez")):
        answer = acme.call(method, path)
        assert (answer.status_code, answer.json()["code"]) == (405, "method.not_allowed")


# ---- Nothing new ---------------------------------------------------------------------------------


def test_an_answer_that_has_not_changed_is_not_sent_again(acme: Any, catch_up: Any) -> None:
    id_ = acme.register(ANN)
    catch_up()
    first = acme.get(f"/v1/customers/{id_}")
    etag = first.headers["etag"]
    assert etag.startswith('W/"')
    for known in (etag, f'"other", {etag}'):
        again = acme.get(f"/v1/customers/{id_}", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    acme.command("customer.assign_tier", customer=id_, tier="gold")
    catch_up()
    changed = acme.get(f"/v1/customers/{id_}", headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["tier"]) == (200, "gold")


def test_every_answer_has_safe_headers(acme: Any) -> None:
    for path in ("/v1/customers", "/v1/nothing", "/livez"):
        headers = acme.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
