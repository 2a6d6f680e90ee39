"""A replay over HTTP: as JSON, as a page, in parts, and only for who may read."""

from collections.abc import Callable

from commands.command import ByEmail
from commands.customers import ChangeProfile, RegisterCustomer
from commands.ports import Who
from infra.runtime import Runtime
from tests.api.conftest import Caller
from tests.world import World

ANN = ByEmail(email="ann@example.org")


def test_what_was_known_and_what_changed(
    caller: Callable[..., Caller], catch_up: Callable[[], int], runtime: Runtime
) -> None:
    reader = caller("read")
    world = World(runtime.store)
    world.who = Who(reader.tenant, "cli:max")
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann <b>"))
    first = world.now.isoformat()
    world.ask(ChangeProfile(customer=ANN, full_name="Anna"))
    catch_up()
    id_ = runtime.store.owners(reader.tenant, [ANN.identifier()])[ANN.identifier()]
    path, asked = f"/v1/customers/{id_}/replay", {"as_known_at": first}

    told = reader.get(path, params=asked | {"until": world.now.isoformat()}).json()
    assert told["customer"]["profile"] == {"full_name": "Ann <b>"}
    assert told["differences"] == [
        {"what": "profile.full_name", "before": "Ann <b>", "after": "Anna"}
    ]
    assert [event["since"] for event in told["events"]] == [False, False, False, True]
    assert {event["authid"] for event in told["events"]} == {"cli:max"}
    assert {event["channel"] for event in told["events"]} == {"api", "command line"}

    page = reader.get(path, params=asked, headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "Ann &lt;b&gt;" in page.text
    assert "Anna" not in page.text

    seen, after = 0, ""
    while after is not None:
        part = reader.get(path, params=asked | {"limit": 1, "after": after}).json()
        seen, after = seen + len(part["events"]), part["next"]
    assert seen == 3

    assert reader.get(path).json()["code"] == "replay.no_instant"
    early = {"as_known_at": "2000-01-01T00:00:00Z"}
    assert reader.get(path, params=early).status_code == 404
    backwards = reader.get(path, params=asked | {"until": "2000-01-01T00:00:00Z"})
    assert (backwards.status_code, backwards.json()["code"]) == (400, "replay.backwards")
    assert caller("read").get(path, params=asked).status_code == 404  # another tenant
    assert caller("publish", reader.tenant).get(path, params=asked).status_code == 403
