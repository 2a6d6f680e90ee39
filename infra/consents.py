"""Whether a customer consents to a purpose over a channel, now or at any instant."""

from datetime import datetime
from typing import NamedTuple

from domain.rejected import Rejected
from infra.reader import Reader


class Consent(NamedTuple):
    """What the customer said last; `text_version` is the text that was agreed to."""

    granted: bool
    text_version: str | None
    since: str | None


def consent(
    reader: Reader,
    tenant: str,
    id_: str,
    purpose: str,
    channel: str,
    *,
    at: datetime | None = None,
) -> Consent:
    """Tell what held at an instant, as far as it is known today."""
    customer = reader.customer(tenant, id_, effective_at=at)
    said = (customer or {}).get("consents", {}).get(f"{purpose}/{channel}")
    return Consent(**said) if said else Consent(granted=False, text_version=None, since=None)


def must_consent(reader: Reader, tenant: str, id_: str, purpose: str, channel: str) -> Consent:
    """Refuse to go on without a consent: ask this before anything is sent. Raises `Rejected`."""
    said = consent(reader, tenant, id_, purpose, channel)
    if not said.granted:
        raise Rejected(
            "consent.missing", f"The customer does not agree to {purpose} over {channel}."
        )
    return said
