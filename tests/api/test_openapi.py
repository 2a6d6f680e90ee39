"""The OpenAPI document: it describes all there is, and generated calls find it true."""

import random
from copy import deepcopy
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks

from api.docs import document
from commands.catalogue import ALL

LENGTH_MAX = 200
"""Longer texts take seconds to generate, and are tried in test_bad_input.py."""
EXAMPLES = 2
COMMANDS = 10
"""All commands take the same way; other ones are tried each time."""

checks.load_all_checks()
CHECKED = checks.CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ]
)


def test_generated_calls_are_answered_as_described(live: Any, live_caller: Any) -> None:
    told = live_caller.client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(with_short_texts(told))
    headers = {"Authorization": f"Bearer {live_caller.key}"}
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert len(operations) == sum(len(methods) for methods in told["paths"].values())
    commands = [each for each in operations if "/commands/" in each.path]
    untried = random.sample(commands, len(commands) - COMMANDS)
    statuses: set[int] = set()
    for operation in [each for each in operations if each not in untried]:
        for mode in GenerationMode:
            calls = operation.as_strategy(generation_mode=mode)
            statuses |= statuses_of(calls, live[1], headers)
    assert {200, 404, 422} <= statuses, "the calls get somewhere"


def statuses_of(calls: Any, address: str, headers: dict[str, str]) -> set[int]:
    """Try a few calls, and give the statuses of the answers."""
    statuses = set()

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=calls)
    def call(case: Any) -> None:
        statuses.add(
            case.call_and_validate(base_url=address, headers=headers, checks=CHECKED).status_code
        )

    call()
    return statuses


def with_short_texts(told: Any) -> Any:
    """Shorten what is generated; the CloudEvents of three commands stand for all."""
    short = deepcopy(told)
    kinds = short["components"]["schemas"]["CloudEvent"]["oneOf"]
    short["components"]["schemas"]["CloudEvent"]["oneOf"] = kinds[:1] + kinds[20:21] + kinds[-1:]
    pending = [short]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if "maxLength" in part:
                part["maxLength"] = min(part["maxLength"], LENGTH_MAX)
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return short


def test_every_command_has_an_address_and_a_schema(client: Any) -> None:
    told = document(client.app)
    assert told["openapi"].startswith("3.1")
    for command in ALL:
        operation = told["paths"][f"/v1/commands/{command.name}"]["post"]
        asked = operation["requestBody"]["content"]["application/json"]["schema"]
        assert asked["properties"].keys() - {"time"} == command.model_fields.keys()
        assert asked["additionalProperties"] is False
    messages = told["components"]["schemas"]["CloudEvent"]["oneOf"]
    assert {kind["properties"]["type"]["enum"][0] for kind in messages} == {
        command.publishes for command in ALL
    }


def test_the_page_for_people_needs_nothing_from_elsewhere(client: Any) -> None:
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for path in document(client.app)["paths"]:
        assert path in page
