"""Live traffic: what the channels go on telling, sent through real HTTP with a real key."""

import threading
from collections import Counter, deque
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from itertools import count
from random import Random
from typing import Any
from urllib.parse import urlsplit

import orjson

from api.demo import words
from api.demo.generator import email
from api.demo.world import Message

PER_SECOND = 7.0
SENT_TWICE = 0.03
BROKEN = 0.002
WORKED = 0.08
"""How often somebody works on the oldest case: not often enough for all targets to be met."""
TIMEOUT_SECONDS = 30
OK = 200


def happenings(run: str, customers: int) -> Iterator[Message]:
    """Tell without end what customers do; `run` keeps the ids of one start apart from others'."""
    random = Random(run)  # noqa: S311 - a story, not a secret
    desk: deque[tuple[str, Message]] = deque()
    for number in count(1):
        id_ = f"{run}-{number}"
        if desk and random.random() < WORKED:
            type_, case = desk.popleft()
            said: Message = {"type": type_, "data": case}
        else:
            said = happening(random, id_, random.randint(1, customers))
        message = {"specversion": "1.0", "id": id_, "source": "/channels/live", **said}
        yield message
        if said["type"] == "case.opened.v1":
            case = {"case": said["data"]["case"]}
            desk.append(("case.agent_answered.v1", case | {"agent": "Kim"}))
            desk.append(("case.resolved.v1", case))
        if random.random() < SENT_TWICE:
            yield message


def happening(random: Random, id_: str, number: int) -> dict[str, Any]:
    """Tell one thing that a customer does."""
    who = {"email": email(number)}
    match random.choices(("visit", "chat", "purchase", "case"), (60, 15, 20, 5))[0]:
        case "visit":
            said = {"channel": "web", "kind": "visit", "message": random.choice(words.PAGES)}
            return {"type": "interaction.recorded.v1", "data": {"customer": who, **said}}
        case "chat":
            question = random.choice(words.QUESTIONS)
            said = {"channel": "chat", "kind": "question", "message": question}
            return {"type": "interaction.recorded.v1", "data": {"customer": who, **said}}
        case "purchase":
            return {"type": "customer.purchase_recorded.v1", "data": purchase(random, who)}
        case _:
            asked = {"channel": "mail", "category": "question", "priority": "normal"}
            case = {"case": {"system": "live", "id": id_}, "customer": who, **asked}
            return {"type": "case.opened.v1", "data": case}


def purchase(random: Random, who: Message) -> Message:
    """Buy something; once in a while the shop sends a price that is not in cents."""
    product, price = random.choice(list(words.GOODS.items()))
    amount = price / 100 if random.random() < BROKEN else price
    return {
        "customer": who,
        "amount": {"amount": amount, "currency": "EUR"},
        "product": product,
    }


class Traffic(threading.Thread):
    """Sends until it is stopped, and counts the verdicts."""

    def __init__(self, address: str, key: str, messages: Iterator[Message]) -> None:
        super().__init__(name="traffic", daemon=True)
        self._host = urlsplit(address).netloc
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/cloudevents+json",
        }
        self._messages, self._stopped = messages, threading.Event()
        self._pauses = Random(0)  # noqa: S311 - a story, not a secret
        self.verdicts: Counter[str] = Counter()

    def run(self) -> None:
        """Send one message after the other, with pauses as they come."""
        connection = HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        for message in self._messages:
            if self._stopped.wait(self._pauses.expovariate(PER_SECOND)):
                break
            try:
                self.verdicts[self._send(connection, message)] += 1
            except (OSError, HTTPException):
                connection.close()  # the next request opens it again
                self.verdicts["lost"] += 1
        connection.close()

    def stop(self) -> None:
        """Stop sending."""
        self._stopped.set()
        self.join(TIMEOUT_SECONDS)

    def _send(self, connection: HTTPConnection, message: Message) -> str:
        connection.request("POST", "/v1/events", orjson.dumps(message), self._headers)
        with connection.getresponse() as response:
            answer = orjson.loads(response.read())
        return str(answer["items"][0]["status"]) if response.status == OK else "refused"
