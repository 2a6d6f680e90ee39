"""Canaries: planted as personal data, in which forms they could turn up, and a scan for them."""

import random
from base64 import b64encode
from pathlib import Path

import orjson
import pytest

from commands.cases import NoteAgentAnswer, NoteCustomerMessage, OpenCase
from commands.command import ByEmail, ByExternalId, ByPhone
from commands.customers import AddIdentifier, ChangeProfile, RateSatisfaction, RegisterCustomer
from commands.ingest import ingest
from commands.interactions import RecordInteraction
from commands.leads import CaptureLead, PlanActivity
from infra.store.refused import message_of
from tests.world import NOON, World

CANARIES = 60


def forms(mark):
    """How the mark that all canaries carry could look if it were written down."""
    utf8 = mark.encode()
    yield from (utf8, mark.encode("utf-16-le"), mark.encode("utf-16-be"))
    yield from (utf8.hex().encode(), utf8.hex().upper().encode())
    yield "".join(f"%{byte:02X}" for byte in utf8).encode()
    yield "".join(f"\\u{ord(c):04x}" for c in mark).encode()
    for cut in range(3):
        yield b64encode(utf8[cut : cut + (len(utf8) - cut) // 3 * 3])


def new_mark():
    """Digits, so that names, addresses and telephone numbers can carry it alike."""
    return str(random.SystemRandom().randrange(10**13, 10**14))


def plant(runtime, mark):
    """Let canaries come in by command and by message; gives the customer."""
    world, mail = World(runtime.store), ByEmail(email=f"c.{mark}@example.org")
    due, planted = NOON, 1
    about = {"full_name": f"C {mark}", "language": f"l{mark}", "country": f"n{mark}"}
    world.ask(RegisterCustomer(customer=mail, attributes={f"a{mark}": f"v{mark}"}, **about))
    world.ask(AddIdentifier(customer=mail, identifier=ByPhone(phone=f"+{mark}")))
    world.ask(AddIdentifier(customer=mail, identifier=ByExternalId(system="shop", id=f"x{mark}")))
    planted += 7
    for number in range(8):
        desk = ByExternalId(system="desk", id=str(number))
        for command in (
            ChangeProfile(customer=mail, full_name=f"{number} {mark} Zoë"),
            RateSatisfaction(customer=mail, scale="nps", score=1, comment=f"{number}{mark}"),
            OpenCase(case=desk, customer=mail, channel="email", title=f"t {number}{mark}"),
            NoteCustomerMessage(case=desk, message=f"{mark}{number}"),
            NoteAgentAnswer(case=desk, agent="max", message=f"{mark} {number}"),
            CaptureLead(lead=desk, customer=mail, source="web"),
            PlanActivity(lead=desk, activity="call", kind="call", due=due, note=f"n{mark}"),
            RecordInteraction(
                customer=mail, channel="web", kind="visit", message=f"{number} {mark}"
            ),
        ):
            assert world.ask(command).status == "accepted"
            planted += not isinstance(command, CaptureLead)
    data = {"customer": {"email": f"c.{mark}@example.org"}, "no": mark}
    sent = {"specversion": "1.0", "id": "1", "source": "web", "type": "no.such", "data": data}
    messages = [message_of(orjson.dumps(sent)), message_of(f"not JSON {mark}".encode())]
    ingest(messages, world.who, world.ports, runtime.refused)
    assert planted + len(messages) >= CANARIES
    return runtime.store.owners("acme", [mail.identifier()])[mail.identifier()]


def files_of(runtime, since):
    """The files of this database, of the server's log, and of the write-ahead log since then."""
    with runtime.pool.connection() as conn:
        conn.execute("CHECKPOINT")
        (directory,) = conn.execute("SHOW data_directory").fetchone()
        (oid,) = conn.execute(
            "SELECT oid::text FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    data = Path(directory)
    if not data.exists():
        pytest.skip("The server's files are not on this machine.")
    yield from (data / "base" / oid).iterdir()
    for folder in (data / "pg_wal", data / "log", data, runtime.settings.directory):
        for file in folder.glob("*"):
            if file.is_file() and file.stat().st_mtime >= since - 2:
                yield file


def without_page_headers(segment):
    """A segment of the write-ahead log as its records are: a record may go on behind a header.

    Every page of 8 KiB begins with a header of 24 bytes, or of 40 if bit 2 of its information
    says that it is a long one (src/include/access/xlog_internal.h).
    """
    pages = (segment[at : at + 8192] for at in range(0, len(segment), 8192))
    return b"".join(page[40 if page[2] & 2 else 24 :] for page in pages)


def found_in_database(runtime, mark, since):
    needles = list(forms(mark))
    hits = set()
    for file in files_of(runtime, since):
        try:
            raw = file.read_bytes()
        except FileNotFoundError:
            continue
        if file.parent.name == "pg_wal":
            raw = without_page_headers(raw)
        hits |= {file.name for needle in needles if needle in raw}
    return hits
