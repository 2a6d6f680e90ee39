"""Service levels over HTTP: agreed, watched, answered, reviewed; and only by who may."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.calendar import WEEKDAYS

PLATINUM, NOBODY = "pia@example.org", "nobody@example.org"
TERMS = {
    "calendar": {"week": {day: ["00:00-24:00"] for day in WEEKDAYS}},
    "clocks": [{"clock": "resolution", "targets": {"normal": "PT4H"}}],
}
PROMISE = {
    "title": "For all",
    "scope": {"everything": True},
    "terms": TERMS,
    "compensation": {"credits": {"resolution": {"amount": {"amount": 500, "currency": "EUR"}}}},
}
LONG_AGO = "2024-01-01T00:00:00Z"


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


@pytest.fixture
def desk(acme: Any, catch_up: Any) -> Any:
    """Pia, who is platinum, and somebody else with an older case; all under one agreement."""
    acme.command(
        "agreement.define",
        agreement={"system": "contracts", "id": "all"},
        promise=PROMISE,
        applies_from=LONG_AGO,
    )
    acme.command("customer.assign_tier", customer={"email": PLATINUM}, tier="platinum")
    for number, email, hours in ((1, "bob@example.org", 5), (2, PLATINUM, 1)):
        case = {"system": "desk", "id": str(number)}
        who = {"email": email}
        acme.command("case.open", case=case, customer=who, channel="mail", time=ago(hours=hours))
    catch_up()
    return acme


def test_the_wall_goes_by_the_time_to_the_next_breach(desk: Any) -> None:
    late, running = desk.items("/v1/sla/wall")
    assert (late["verdict"], running["verdict"]) == ("breached", "running")
    assert late["seconds_left"] == pytest.approx(-3600, abs=60)
    assert late["used"] == pytest.approx(5 * 3600, abs=60)
    assert running["tier"] == "platinum"
    assert desk.items("/v1/sla/wall?verdict=running") == [
        running | {name: pytest.approx(running[name], abs=5) for name in ("used", "seconds_left")}
    ]


def test_the_queue_says_who_is_next_and_why(desk: Any) -> None:
    first, second = desk.items("/v1/sla/queue")
    assert (first["tier"], first["place"], second["place"]) == ("platinum", 1, 2)
    assert first["reason"].startswith("tier platinum has rank 1; due by ")
    assert [row["tier"] for row in desk.items("/v1/sla/queue?tiers=gold")] == [None, "platinum"]


def test_a_platinum_caller_is_told_tier_and_place_at_once(desk: Any) -> None:
    pia = desk.get(f"/v1/sla/caller?email={PLATINUM}").json()
    assert (pia["tier"], pia["place"], pia["waiting"]) == ("platinum", 1, 2)
    assert len(pia["cases"]) == 1
    unknown = desk.get(f"/v1/sla/caller?email={NOBODY}").json()
    assert (unknown["customer"], unknown["tier"], unknown["place"]) == (None, None, 3)
    assert desk.get("/v1/sla/caller").status_code == 400


def test_compliance_and_credits_are_counted(desk: Any, runtime: Any, catch_up: Any) -> None:
    [row] = desk.items("/v1/sla/compliance?group_by=channel")
    assert (row["group"], row["promises"], row["breached"], row["open"]) == ("mail", 2, 1, 1)
    assert desk.get("/v1/sla/compliance?group_by=mood").status_code == 400
    assert desk.items("/v1/sla/credits") == [], "no timer has looked yet"


def test_other_terms_are_tried_on_past_cases(desk: Any) -> None:
    generous = {**TERMS, "clocks": [{"clock": "resolution", "targets": {"normal": "PT9H"}}]}
    done = desk.post("/v1/sla/dry-run", json={"terms": generous})
    assert done.json()["clocks"]["resolution"]["breached"] == 0
    same = desk.post("/v1/sla/dry-run", json={"terms": TERMS}).json()["clocks"]["resolution"]
    assert (same["breached"], same["open"]) == (1, 1)
    assert desk.post("/v1/sla/dry-run", json={"terms": {}}).status_code == 400
    never = {**TERMS, "calendar": {"week": {}}}
    refused = desk.post("/v1/sla/dry-run", json={"terms": never})
    assert (refused.status_code, refused.json()["code"]) == (422, "calendar.closed")


def test_a_review_comes_as_json_and_as_markdown(desk: Any) -> None:
    [agreement] = desk.items("/v1/agreements")
    path = f"/v1/agreements/{agreement['id']}"
    assert desk.get(path).json() == agreement
    assert desk.get(f"{path}/review").json()["promised"] == {"resolution": {"normal": "4h"}}
    told = desk.get(f"{path}/review?form=markdown")
    assert told.headers["content-type"].startswith("text/markdown")
    assert told.text.startswith("# For all, version 1\n")
    assert desk.get("/v1/agreements/0190a0a0-0000-7000-8000-000000000000").status_code == 404


def test_nobody_sees_the_promises_of_another_tenant(desk: Any, caller: Any) -> None:
    other = caller()
    [agreement] = desk.items("/v1/agreements")
    assert other.get(f"/v1/agreements/{agreement['id']}/review").status_code == 404
    for path in ("agreements", "sla/wall", "sla/queue", "sla/compliance", "sla/credits"):
        assert other.items(f"/v1/{path}") == []


def test_a_channel_may_not_say_what_is_promised(caller: Any) -> None:
    channel = caller("publish")
    fields = {
        "agreement": {"system": "contracts", "id": "mine"},
        "promise": PROMISE,
        "applies_from": LONG_AGO,
    }
    asked = channel.post("/v1/commands/agreement.define", json=fields)
    assert (asked.status_code, asked.json()["code"]) == (403, "key.role")
    told = {"specversion": "1.0", "id": "1", "source": "/me", "type": "agreement.defined.v1",
            "data": fields}  # fmt: skip
    content = {"content-type": "application/cloudevents+json"}
    published = channel.post("/v1/events", json=told, headers=content)
    assert (published.status_code, published.json()["code"]) == (422, "key.role")
    operator = caller("operate", channel.tenant)
    assert operator.post("/v1/events", json=told | {"id": "2"}, headers=content).status_code == 200


def test_what_a_row_keeps_for_itself_is_shown_to_nobody(desk: Any) -> None:
    assert all("facts" not in row for row in desk.items("/v1/cases"))
    assert all("facts" not in row for row in desk.items("/v1/changes/sla_clocks"))
