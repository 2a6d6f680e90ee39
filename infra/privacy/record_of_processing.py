"""The record of processing (GDPR 30), made from what the program really does.

Fields and groups come from the events, read models from their declarations, recipients from the
roles of API keys and the topics. What no program can know is left for people to fill in.
"""

from collections.abc import Iterator

from domain.catalogue import EVENTS
from domain.personal import GROUPS
from infra.api_keys import ROLES
from projections.catalogue import ALL

HEAD = """# Record of processing activities

Made by `crm privacy record` from the events, read models and roles of this version. Controller,
representative, data protection officer, legal bases and transfers are for people to add.
"""
ROLE = {
    "publish": "Channels that send events and commands; they read nothing.",
    "read": "Services and people who are shown read models and histories, personal data opened.",
    "operate": "Operators: all of it, and refused messages.",
    "hold": "Those who work on restrictions and legal holds: as `read`, and what is kept from it.",
}


def record() -> str:
    """Give the record as Markdown."""
    return "\n".join([HEAD, *data(), *views(), *recipients(), *limits()]) + "\n"


def data() -> Iterator[str]:
    """Tell which personal data there is, by group and event."""
    yield "## Personal data\n"
    yield "| group | event | fields |"
    yield "|---|---|---|"
    for group in GROUPS:
        for name, event in sorted(EVENTS.items()):
            fields = [field for field, its in event.personal.items() if its == group]
            if fields:
                yield f"| {group} | `{name}` | {', '.join(f'`{field}`' for field in fields)} |"


def views() -> Iterator[str]:
    """Tell what it is used for: every read model answers one question."""
    yield "\n## Purposes: what read models answer\n"
    yield "| read model | question | from personal fields of |"
    yield "|---|---|---|"
    for projection in ALL:
        used = sorted(name for name in projection.handlers if EVENTS[name].personal)
        told = ", ".join(f"`{name}`" for name in used) or "none"
        yield f"| `{projection.name}` | {projection.question} | {told} |"


def recipients() -> Iterator[str]:
    """Tell who is shown what."""
    yield "\n## Recipients\n"
    for role in ROLES:
        yield f"- `{role}`: {ROLE.get(role, 'See docs/cli.md.')}"
    yield "- Kafka, where it is used: events and read models, personal data sealed; no keys."


def limits() -> Iterator[str]:
    """Tell how long it is kept and how it is protected."""
    yield "\n## Erasure and protection\n"
    yield "- Sealed per customer and group with AES-256-GCM; erased by destroying the keys, on"
    yield "  request with four eyes, or by age (`crm privacy schedules list`); all of it certified."
    yield "- Every look is noted (`crm audit looks`); that log cannot be altered unseen either."
