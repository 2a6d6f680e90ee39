"""What the demo tells: where everything is, and what to try next."""

from pathlib import Path
from shlex import quote

from api.demo.home import Home
from api.demo.story import EMAIL
from api.demo.world import END
from api.output import print_fields, print_line
from infra.runtime import Runtime

HELLO = (
    '{"id":"hello-1","source":"/me","type":"interaction.recorded.v1","data":{"customer":'
    f'{{"email":"{EMAIL}"}}'
    ',"channel":"phone","kind":"call","message":"Can we talk?"}}'
)


def banner(runtime: Runtime, home: Home, address: str) -> None:
    """Tell where everything is."""
    print_line("")
    print_fields(
        [
            ("API", address),
            ("docs", f"{address}/docs"),
            ("OpenAPI", f"{address}/openapi.json"),
            ("metrics", f"{address}/metrics"),
            ("storage", f"{runtime.settings.directory}/, with its own PostgreSQL"),
            ("log", f"{runtime.events.head():,} events; the year ends at {END:%Y-%m-%d %H:%M} UTC"),
            *((f"{role} key", key) for role, key in home.keys.items()),
        ]
    )
    print_line("")
    print_line("Not for production: the people are made up, and the keys are shown to everybody.")


def guide(env: Path) -> None:
    """Tell what to try next."""
    print_line("")
    print_line("Try this in another terminal, in this directory; the first line comes first:")
    print_line("")
    for command, what in commands(env):
        print_line(f"# {what}")
        print_line(command)
    print_line("")


def commands(env: Path) -> list[tuple[str, str]]:
    """Give commands to copy, and what each of them does."""
    read = 'curl -s -H "Authorization: Bearer $READ"'
    publish = 'curl -s -H "Authorization: Bearer $PUBLISH"'
    json = '-H "Content-Type: application/cloudevents+json"'
    return [
        (f". {quote(str(env))}", "find the demo: its data, its keys, and crm itself"),
        (f"crm history {EMAIL}", "everything that happened to Ada"),
        (f"crm show customer {EMAIL} --as-of 2025-03-09", "what was known before she signed up"),
        (
            "crm show case desk:ada-2 --as-of 2025-10-09T12:00Z",
            "her second case at that noon, as it was known then: overdue",
        ),
        (
            f'{read} "$API/v1/churn-alerts?at={END:%Y-%m-%dT%H:%M:%SZ}&limit=3"',
            "who was silent for too long at the end of the year",
        ),
        (
            f'{publish} {json} -d {quote(HELLO)} "$API/v1/events"',
            "let Ada call; do it twice: the second time it is a duplicate",
        ),
        ("crm sla wall --limit 5", "live cases, by the time to their next breach"),
        ("crm sla compliance --by agreement", "which promises were kept, and what it cost"),
        ("crm agreements review live", "what was promised, kept and paid, and what if"),
        ("crm refused list", "what was not kept, and why"),
        ("crm projections status", "whether every read model is level"),
    ]
