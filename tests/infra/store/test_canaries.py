"""Nothing personal lies in the clear: not in events, keys, read models, refusals, or files."""

import base64
import json
from datetime import timedelta

import orjson

from commands.cases import NoteAgentAnswer, OpenCase
from commands.command import ByEmail, ByExternalId, ByPhone
from commands.customers import AddIdentifier, ChangeProfile, RateSatisfaction, RegisterCustomer
from commands.ingest import ingest
from commands.interactions import RecordInteraction
from commands.leads import CaptureLead, PlanActivity
from infra.store.refused import message_of
from tests.world import NOON, World

CANARIES = {
    "email": "canary.mail@example.org",
    "phone": "+49 30 7133 7133",
    "external": "CANARY-EXTERNAL-4711",
    "name": "Canary Nameson",
    "language": "canary-language",
    "country": "Canaryland",
    "attribute": "canary attribute name",
    "value": "canary attribute value",
    "comment": "canary comment 🦊",
    "title": "canary title",
    "message": "canary message",
    "note": "canary note",
}


def encodings(text):
    """How a text could look if it were somewhere by mistake."""
    for plain in {text, text.lower(), text.replace(" ", "")}:
        utf8 = plain.encode()
        yield from (
            utf8,
            plain.encode("utf-16-le"),
            utf8.hex().encode(),
            json.dumps(plain)[1:-1].encode(),
        )
        for cut in range(3):  # base64 depends on where in three bytes a text begins
            inner = base64.b64encode(utf8[cut : cut + (len(utf8) - cut) // 3 * 3])
            yield inner
            yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def test_nothing_personal_is_stored_in_the_clear_anywhere(runtime, catch_up):
    c, world = CANARIES, World(runtime.store)
    mail, desk = ByEmail(email=c["email"]), ByExternalId(system="desk", id="1")
    due = NOON + timedelta(days=1)
    for command in (
        RegisterCustomer(
            customer=mail, full_name=c["name"], language=c["language"], country=c["country"],
            attributes={c["attribute"]: c["value"]},
        ),
        AddIdentifier(customer=mail, identifier=ByPhone(phone=c["phone"])),
        AddIdentifier(customer=mail, identifier=ByExternalId(system="shop", id=c["external"])),
        ChangeProfile(customer=mail, full_name=c["name"] + "!"),
        RateSatisfaction(customer=mail, scale="nps", score=1, comment=c["comment"]),
        OpenCase(case=desk, customer=mail, channel="email", title=c["title"]),
        NoteAgentAnswer(case=desk, agent="max", message=c["message"]),
        CaptureLead(lead=desk, customer=mail, source="web"),
        PlanActivity(lead=desk, activity="call", kind="call", due=due, note=c["note"]),
        RecordInteraction(customer=mail, channel="web", kind="visit", message=c["message"]),
    ):  # fmt: skip
        assert world.ask(command).status == "accepted"
    wrong = {"id": "1", "source": "web", "type": "customer.register",
             "data": {**c, "customer": {"email": c["email"]}}}  # fmt: skip
    messages = [message_of(orjson.dumps(wrong)), message_of(c["name"].encode())]
    ingest(messages, world.who, world.ports, runtime.refused)
    catch_up()
    dump = everything(runtime)
    assert b"customer.profile_changed.v1" in dump  # it is the whole database that is searched
    found = {name: form for name, text in c.items() for form in encodings(text) if form in dump}
    assert found == {}


COLUMNS = """
SELECT format('SELECT %I%s FROM %I.%I', column_name,
              CASE data_type WHEN 'bytea' THEN '' ELSE '::text' END, table_schema, table_name),
       data_type = 'bytea'
FROM information_schema.columns WHERE table_schema IN ('crm', 'crm_keys', 'read')
"""


def everything(runtime):
    """Every column of every table as text, or its bytes as they are, and every file."""
    parts = [path.read_bytes() for path in runtime.settings.directory.rglob("*") if path.is_file()]
    with runtime.pool.connection() as conn:
        for query, is_bytes in conn.execute(COLUMNS).fetchall():
            values = [value for (value,) in conn.execute(query) if value is not None]
            parts += values if is_bytes else [value.encode() for value in values]
    return b"\n".join(parts)


def test_the_search_would_find_a_canary_however_it_is_written():
    for name, text in CANARIES.items():
        for form in (text, text.lower()):
            assert any(e in f'x"{form}"y'.encode() for e in encodings(text)), name
            for shift in ("", "x", "xy"):
                hidden = base64.b64encode(f"{shift}{form}xyz".encode())
                assert any(e in hidden for e in encodings(text)), (name, shift)
            assert any(e in form.encode().hex().encode() for e in encodings(text))
