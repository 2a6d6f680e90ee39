"""The one loop of the write path: read, decide, keep; and again if somebody else was quicker."""

import random
import time
from collections.abc import Sequence, Set

from commands.draft import Draft
from commands.ports import FACT, Answer, Busy, Forgotten, Request, StaleStream, Verdict, Who
from commands.session import Ports, Session
from domain.rejected import Rejected

ATTEMPTS_MAX = 8
PAUSE_MAX_SECONDS = 0.02


def execute(requests: Sequence[Request], who: Who, ports: Ports) -> list[Verdict]:
    """Decide requests in order and keep what they decide in one transaction: a verdict for each.

    A rejected request never stops the others. Raises `Busy` when others were quicker each time.
    """
    if not requests:
        return []
    forgotten: dict[str, Set[str]] = {}
    for attempt in range(ATTEMPTS_MAX):
        session = Session(who, ports, requests, forgotten)
        verdicts = [decide(request, session) for request in requests]
        try:
            token = ports.store.append(session.batch)
        except Forgotten as erased:
            forgotten |= {s: gone | forgotten.get(s, set()) for s, gone in erased.groups.items()}
            continue
        except StaleStream:
            time.sleep(random.uniform(0, PAUSE_MAX_SECONDS * attempt))  # noqa: S311 - not a secret
            continue
        return with_tokens(verdicts, token, session)
    if len(requests) == 1:
        raise Busy("Others changed the same customer, lead or case at the same time; send again.")
    middle = len(requests) // 2
    return execute(requests[:middle], who, ports) + execute(requests[middle:], who, ports)


def with_tokens(verdicts: Sequence[Verdict], token: int, session: Session) -> list[Verdict]:
    """Give each verdict its token: a fact that was here before has one, too, as a command has."""
    facts = [v.events[0].stream for v in verdicts if is_known_fact(v)]
    known = session.ports.store.token(session.who.tenant, facts) if facts else 0
    return [
        v._replace(token=max(token, known) if is_known_fact(v) else v.token or token)
        if v.status in ("accepted", "duplicate")
        else v
        for v in verdicts
    ]


def is_known_fact(verdict: Verdict) -> bool:
    """Tell whether this answers a fact that was here before: its first answer was not kept."""
    return verdict.status == "duplicate" and bool(verdict.events) and not verdict.token


def decide(request: Request, session: Session) -> Verdict:
    """Decide one request, unless it was here before: then its first answer is given again."""
    try:
        return decided(request, session)
    except Rejected as no:
        is_conflict = no.code.endswith(".conflict")
        return Verdict("conflict" if is_conflict else "rejected", no.code, no.sentence)


def decided(request: Request, session: Session) -> Verdict:
    """Decide one request; raises `Rejected`."""
    command, store = request.command, session.ports.store
    fingerprint = FACT if command.is_fact else store.fingerprint(session.who.tenant, command)
    first = session.answer(request)
    if first is not None:
        return again(first, fingerprint)
    draft = Draft(session, request)
    events = draft.decide()
    if command.is_fact and not events:
        return Verdict("duplicate", events=(session.fact(request.commandid),))
    session.keep(draft.events, draft.streams, draft.owners)
    if not command.is_fact:
        session.batch.answers[request.commandid] = Answer(fingerprint, events)
    return Verdict("accepted", events=events)


def again(first: Answer, fingerprint: bytes) -> Verdict:
    """Answer a request that was here before."""
    if first.fingerprint == fingerprint:
        return Verdict("duplicate", events=first.events, token=first.token)
    return Verdict(
        "conflict", "id.conflict", "This id was used before for a request with another content."
    )
