"""Plays the demo in a directory of its own, and compares what comes out with what must come out.

What must come out is known from the books, which see only the messages, and from Ada's story as it
is written down. What came out is asked from the log and the read models, as everybody asks them.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from api.demo.books import Books
from api.demo.generator import year
from api.demo.plan import APART, Plan
from api.demo.play import level, play
from api.demo.story import EMAIL, FIRST_CASE, MET, NAME, SECOND_CASE
from api.demo.world import END, Sent
from api.output import print_line, print_table
from api.server import serving
from commands.command import ByExternalId, stream_id
from commands.ports import Verdict, Who
from consumers.service import ROLES
from consumers.timers import fire
from domain.money import money
from domain.values import email
from infra.api_keys import ApiKeys
from infra.keys.keyring import NOBODY
from infra.read_models.due import DueCases
from infra.read_models.reader import Reader
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings

TENANT = "default"
WHO = Who(TENANT, "demo")
SENT_AGAIN = 500
PAGE = 500
BUT_TIMERS = tuple(role for role in ROLES if role != "timers")
"""The timers come last: what they do adds to the log that is compared before."""


class Check(NamedTuple):
    """Something that must come out."""

    what: str
    expected: object
    got: object


@dataclass(slots=True)
class Played:
    """What was sent, and what the ingest said to it."""

    books: Books = field(default_factory=Books)
    verdicts: Counter[str] = field(default_factory=Counter)
    events: int = 0
    unintended: int = 0
    """Messages whose verdict is not the one that the generator meant them to have."""
    last: deque[Sent] = field(default_factory=lambda: deque(maxlen=SENT_AGAIN))

    def note(self, sent: Sent, verdict: Verdict) -> None:
        """Take a message and its verdict into account."""
        self.books.note(sent)
        self.verdicts[verdict.status] += 1
        self.unintended += verdict.status != sent.verdict
        if verdict.status == "accepted":
            self.events += len(verdict.events)
        self.last.append(sent)


def check_all(plan: Plan) -> bool:
    """Play, compare, print a table; tells whether everything came out as it must."""
    with TemporaryDirectory(prefix="crm-demo-") as directory:
        settings = Settings().model_copy(update={**APART, "directory": Path(directory), "port": 0})
        with open_runtime(settings) as runtime:
            return report(list(checks(runtime, plan)))


def checks(runtime: Runtime, plan: Plan) -> Iterator[Check]:
    """Play a year and ask what came out."""
    print_line(f"Playing a year of {plan.customers:,} customers …")
    played, began = Played(), time.perf_counter()
    for sent, verdict in play(year(plan.seed, plan.customers), runtime, WHO):
        played.note(sent, verdict)
    tell_speed("messages taken in", played.verdicts.total(), began)
    began = time.perf_counter()
    with serving(runtime, BUT_TIMERS) as address:
        level(runtime)
        tell_speed("events followed", played.events, began)
        yield from the_verdicts(played)
        yield from the_log(runtime, played)
        yield from the_read_models(Reader(runtime), played.books)
        yield from ada(Reader(runtime))
        yield over_http(runtime, address)
        yield from sent_again(runtime, played)
        yield from acted_upon(runtime, played.books)


def the_verdicts(played: Played) -> Iterator[Check]:
    """Every message got the verdict that it was meant to get."""
    for status, count in played.books.verdicts.items():
        yield Check(f"messages: {status}", count, played.verdicts[status])
    yield Check("messages with another verdict than meant", 0, played.unintended)


def the_log(runtime: Runtime, played: Played) -> Iterator[Check]:
    """Every event that was told is in the log, once, at a position without gaps."""
    events, after = [], 0
    while (page := runtime.events.read(after, 5000, ())).upto > after:
        events += [position for position, _ in page.events]
        after = page.upto
    yield Check("events in the log", played.events, len(events))
    yield Check("positions that are missing or doubled", 0, len(gaps(events)))
    refused = runtime.refused.page(TENANT, NOBODY, PAGE)
    kept_out = played.books.verdicts["conflict"] + played.books.verdicts["rejected"]
    yield Check("messages kept with their reason", kept_out, len(refused))


def gaps(positions: list[int]) -> set[int]:
    """Give the positions that are not there, or not in their place."""
    return set(range(1, len(positions) + 1)).symmetric_difference(positions)


def the_read_models(reader: Reader, books: Books) -> Iterator[Check]:
    """The read models say what the books say."""
    customers = everyone(reader)
    yield Check("customers", books.customers(), len(customers))
    interactions = sum(row["interactions"] for row in customers)
    yield Check("interactions", books.types["interaction.recorded.v1"], interactions)
    purchases = sum(row["purchases"] for row in customers)
    yield Check("purchases", books.types["customer.purchase_recorded.v1"], purchases)
    cents = sum(row["revenue"].get("EUR", 0) for row in customers)
    yield Check("revenue", money(books.cents, "EUR"), money(cents, "EUR"))
    yield from the_pipeline(reader.pipeline_summary(TENANT, at=END), books)
    cases = reader.sla_summary(TENANT, at=END)
    yield Check("cases", len(books.tickets), total(cases, "cases"))
    answers = total(cases, "first_answer_breached")
    yield Check("cases answered late", books.answered_late(END), answers)
    resolutions = total(cases, "resolution_breached")
    yield Check("cases resolved late", books.resolved_late(END), resolutions)
    yield Check("churn alerts", books.silent(END), len(alerts(reader)))


def the_pipeline(totals: list[dict[str, Any]], books: Books) -> Iterator[Check]:
    """The sales pipeline adds up."""
    for status, deals in (("won", books.won()), ("open", books.open_deals())):
        worth = sum(deal.amount for deal in deals)
        yield Check(f"leads {status}", len(deals), total(totals, status))
        got = total(totals, f"{status}_amount")
        yield Check(f"worth of leads {status}", money(worth, "EUR"), money(got, "EUR"))


def ada(reader: Reader) -> Iterator[Check]:
    """Ada's story came out as it was told, and as it was known on the way."""
    known = reader.customer_known_by(TENANT, email(EMAIL))
    if known is None:
        yield Check("Ada: is known", True, False)
        return
    yield Check("Ada: name", NAME, known["profile"]["full_name"])
    yield Check("Ada: stage after buying", "friend", known["stage"])
    yield Check("Ada: last CSAT score", 1, known["satisfaction"]["csat"]["score"])
    before = END - timedelta(days=MET)
    then = reader.customer(TENANT, known["id"], recorded_at=before) or {}
    yield Check("Ada: stage as known after two visits", "stranger", then.get("stage"))
    yield Check("Ada: what was known of her then", {}, then.get("profile"))
    for ref, answer, resolution in (
        (FIRST_CASE, "met", "met"), (SECOND_CASE, "breached", "breached")
    ):  # fmt: skip
        case = reader.case(TENANT, stream_id(TENANT, "case", ByExternalId(**ref)), END) or {}
        got = f"{case.get('first_answer')}, {case.get('resolution')}"
        yield Check(f"Ada: case {ref['id']}, answer and resolution", f"{answer}, {resolution}", got)
    yield Check("Ada: is missed", True, known["id"] in {row["id"] for row in alerts(reader)})


def over_http(runtime: Runtime, address: str) -> Check:
    """Ada is found through the front door, too."""
    key = ApiKeys(runtime.pool).create(TENANT, "read")
    connection = HTTPConnection(urlsplit(address).netloc)
    question, show = f"/v1/customers?email={EMAIL}", {"Authorization": f"Bearer {key}"}
    connection.request("GET", question, headers=show)
    [found] = orjson.loads(connection.getresponse().read())["items"]
    connection.close()
    return Check("Ada: name, over HTTP", NAME, found["profile"]["full_name"])


def sent_again(runtime: Runtime, played: Played) -> Iterator[Check]:
    """Messages that were here before change nothing."""
    again = Counter(verdict.status for _, verdict in play(played.last, runtime, WHO))
    level(runtime)
    yield Check(f"new events from {len(played.last)} messages sent again", 0,
                runtime.events.head() - played.events)  # fmt: skip
    yield Check("of those, accepted", 0, again["accepted"])


def acted_upon(runtime: Runtime, books: Books) -> Iterator[Check]:
    """Every breach is acted upon, once, however late one looks and however often."""
    now = runtime.ports.now()
    breaches = books.answered_late(now) + books.resolved_late(now)
    yield Check("breaches that timers act upon", breaches, fire_all(runtime))
    yield Check("breaches acted upon again", 0, fire_all(runtime))


def fire_all(runtime: Runtime) -> int:
    """Fire whatever is due, until nothing is."""
    due = DueCases(runtime.pool, runtime.tables["sla_clocks"].name)
    fired = 0
    while (result := fire(due, runtime.ports)).fired:
        fired += result.fired
        level(runtime)
    return fired


def everyone(reader: Reader) -> list[dict[str, Any]]:
    """Read all customers, page by page."""
    rows: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = reader.customers(TENANT, after=after, limit=PAGE)
        rows, after = rows + page.items, page.next
    return rows


def alerts(reader: Reader) -> list[dict[str, Any]]:
    """Read all churn alerts of the end of the year, page by page."""
    rows: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = reader.churn_alerts(TENANT, at=END, after=after, limit=PAGE)
        rows, after = rows + page.items, page.next
    return rows


def total(rows: list[dict[str, Any]], column: str) -> int:
    """Add up a column."""
    return sum(int(row[column]) for row in rows)


def tell_speed(what: str, count: int, began: float) -> None:
    """Tell how fast it went."""
    seconds = time.perf_counter() - began
    print_line(f"{count:>8,} {what:<18} {seconds:>6.1f} s {count / seconds:>8,.0f} a second")


def report(done: list[Check]) -> bool:
    """Print what must come out and what did."""
    rows = [(c.what, c.expected, c.got, "ok" if c.expected == c.got else "NO") for c in done]
    print_line("")
    print_table(("check", "expected", "got", "ok"), rows, "Nothing was checked.")
    wrong = sum(check.expected != check.got for check in done)
    print_line("")
    print_line(
        f"{len(done)} checks, " + (f"{wrong} of them wrong." if wrong else "all as they must be.")
    )
    return not wrong
