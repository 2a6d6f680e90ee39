"""The mapping format: what its page promises, and what it refuses."""

import re
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from pydantic import BaseModel

from api.files import mapping as format_
from api.files.importing import run_import
from api.files.mapper import Mapper
from api.files.mapping import load, parse
from api.files.rows import Layout
from api.files.sources import source_of
from domain.rejected import Rejected
from tests.api.mapped import events_of, purchase

PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"
BLOCK = re.compile(r"<!-- ([\w ]+): ([\w.]+) -->\n```\w+\n(.*?)```", re.DOTALL)


def examples() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for example, name, text in BLOCK.findall(PAGE.read_text("utf-8")):
        found.setdefault(example, {})[name] = text
    return found


def written_out(example: dict[str, str], directory: Path) -> tuple[Path, Path]:
    """Write the files of an example; gives the data and the mapping."""
    for name, text in example.items():
        (directory / name).write_text(text, "utf-8")
    mapping = next(name for name in example if name.endswith(".toml"))
    return directory / mapping.replace(".toml", ".csv"), directory / mapping


# ---- The page ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["purchases", "pipeline", "event log"])
def test_an_example_gives_what_the_page_shows(name, tmp_path):
    example = examples()[name]
    data, mapping = written_out(example, tmp_path)
    told = []
    with data.open("rb") as file, closing(source_of(file, data, load(mapping))) as source:
        for line, message in source:
            if message.fault is not None:
                told.append(f"{line} {message.fault.code}")
            else:
                event = message.parsed
                body = orjson.dumps(event["data"]).decode()
                told.append(f"{line} {event['type']} {event['time']} {body}")
    assert "\n".join(told) == example["events"].rstrip()


@pytest.mark.parametrize("name", ["purchases", "pipeline", "event log"])
def test_an_example_is_taken_in_as_it_is(name, tmp_path, runtime):
    data, mapping = written_out(examples()[name], tmp_path)
    tenant = f"page {name}"
    dry = run_import(None, data, tenant=tenant, authid="test", mapping=mapping, dry_run=True)
    report = run_import(runtime, data, tenant=tenant, authid="test", mapping=mapping)
    assert report.verdicts == dry.verdicts
    assert report.codes == ({"row.value_unknown": 1} if name == "pipeline" else {})


def test_the_page_names_all_that_a_mapping_can_say():
    page = PAGE.read_text("utf-8")
    models = [each for each in vars(format_).values() if isinstance(each, type)]
    known = {
        field.alias or name
        for model in (*models, Layout)
        if issubclass(model, BaseModel)
        for name, field in model.model_fields.items()
    }
    assert {name for name in known if not re.search(rf"`{name}`|\[{name}|{name} = ", page)} == set()


def test_every_mapping_of_the_benchmarks_is_valid():
    for path in (PAGE.parents[1] / "bench" / "mappings").glob("*.toml"):
        assert load(path).events


# ---- Data ----------------------------------------------------------------------------------------


def test_a_text_of_absent_names_only_is_absent_and_so_is_an_object_of_nothing_else():
    text = """
        source = "test"
        [[events]]
        type = "interaction.recorded.v1"
        [events.data]
        customer = { system = "s", id = "{who}" }
        channel = "c"
        kind = "{a} {b}"
        case = { system = "s", id = "T-{ticket}" }
    """
    full, half, none = events_of(text, "who|a|b|ticket", "1|x|y|5", "1||y|", "1|||")
    assert full[0]["data"]["case"] == {"system": "s", "id": "T-5"}
    assert (full[0]["data"]["kind"], half[0]["data"]["kind"]) == ("x y", "y")
    assert half[0]["data"].keys() == {"customer", "channel", "kind"}
    assert none[0]["data"].keys() == {"customer", "channel"}


def test_data_keeps_its_types_and_its_depth():
    text = """
        source = "test"
        [[events]]
        type = "customer.registered.v1"
        data.customer = { email = "{mail}" }
        data.attributes = { "shoe size" = "{size}", club = "yes", note = "{note}" }
    """
    ((event,),) = events_of(text, "mail|size|note", "a@b.example|42|")
    assert event["data"]["customer"] == {"email": "a@b.example"}
    assert event["data"]["attributes"] == {"shoe size": "42", "club": "yes"}


# ---- Which events --------------------------------------------------------------------------------


def lead(*events: str, top: str = "") -> str:
    return f'source = "test"\n{top}\n' + "\n".join(
        f'[[events]]\ntype = "lead.qualified.v1"\nlabel = "{number}"\n{event}\n'
        'data.lead = { system = "s", id = "{id}" }'
        for number, event in enumerate(events)
    )


def labels(text: str, columns: str, *rows: str) -> list[str]:
    """Which events each row gives, by their labels."""
    told = events_of(text, columns, *rows)
    return ["".join(event["id"].rpartition("-")[2] for event in events) for events in told]


def test_conditions_choose_the_events_of_a_row():
    text = lead(
        'when = { stage = "won" }',
        'when = { stage = ["won", "lost"], value = { matches = "^[1-9]" } }',
        'unless = { stage = "" }',
        'when = { stage = "" }',
    )
    rows = ("1|won|5", "1|won|0", "1|lost|12", "1||5")
    assert labels(text, "id|stage|value", *rows) == ["012", "02", "12", "3"]


def test_a_row_is_skipped_when_one_of_the_conditions_holds():
    text = lead("", top='skip = [{ id = { matches = "^T" } }, { stage = "", value = "0" }]')
    rows = ("T1|won|5", "1||0", "1||5", "1|won|0")
    assert labels(text, "id|stage|value", *rows) == ["", "", "0", "0"]


def test_once_is_for_the_first_row_for_which_the_condition_holds():
    text = lead('once = ["id"]', 'when = { stage = "b" }\nonce = ["id", "stage"]')
    rows = ("1|a", "1|b", "2|b", "1|b", "2|a")
    assert labels(text, "id|stage", *rows) == ["0", "1", "01", "", ""]


def test_a_row_gives_all_of_its_events_or_none_and_does_not_count_then():
    text = """
        source = "test"
        [fields]
        stage = { from = "{stage}", map = { a = "A" } }
        [[events]]
        type = "lead.qualified.v1"
        once = ["id"]
        data.lead = { system = "s", id = "{id}" }
        [[events]]
        type = "lead.stage_moved.v1"
        data = { lead = { system = "s", id = "{id}" }, stage = "{stage}" }
    """
    with closing(Mapper(parse(text), ["id", "stage"], {})) as mapper:
        with pytest.raises(Rejected):
            mapper.messages(["1", "?"])
        assert len(mapper.messages(["1", "a"])) == 2


# ---- Ids -----------------------------------------------------------------------------------------


def ids(text: str, *rows: str) -> list[str]:
    return [event["id"] for events in events_of(text, "id|stage", *rows) for event in events]


def test_the_same_rows_always_give_the_same_ids_and_no_two_rows_share_one():
    rows = ("1|a", "1|a", "1|b", "2|a", "1|a")
    once, again = ids(lead(""), *rows), ids(lead(""), *rows)
    assert once == again
    assert len(set(once)) == len(rows)


def test_where_a_cell_ends_makes_a_difference():
    assert len(set(ids(lead(""), "1|1a", "11|a"))) == 2


def test_a_key_names_the_row_whatever_else_is_in_it():
    text = lead("", top='key = ["id"]')
    assert len(set(ids(text, "1|a", "1|b", "2|a"))) == 2


def test_rows_with_the_same_key_can_be_counted():
    text = lead("", top='key = ["id"]\nrepeats = true')
    first, second, other = ids(text, "1|a", "1|b", "2|a")
    assert len({first, second, other}) == 3
    assert ids(text, "1|changed", "1|b", "2|a") == [first, second, other]


def test_a_broken_row_counts_so_that_correcting_it_does_not_rename_the_others():
    text = purchase(top='key = ["who"]\nrepeats = true')

    def renamed(*rows: str) -> list[str]:
        told = []
        with closing(Mapper(parse(text), ["who", "paid"], {})) as mapper:
            for row in rows:
                try:
                    told += [event["id"] for event in mapper.messages(row.split("|"))]
                except Rejected:
                    told.append("")
        return told

    assert renamed("1|x", "1|5")[1] == renamed("1|4", "1|5")[1]


def test_an_id_tells_nothing_of_the_row():
    (id_,) = ids(lead("", top='key = ["id"]'), "ada@example.com|a")
    assert re.fullmatch(r"[0-9a-f]{32}-0", id_)


def test_an_id_cannot_be_guessed_without_the_secret_of_the_tenant():
    def made_with(secret: bytes) -> str:
        with closing(Mapper(parse(lead("")), ["id"], {}, secret)) as mapper:
            (event,) = mapper.messages(["1"])
        return event["id"]

    assert made_with(b"one") == made_with(b"one") != made_with(b"other")


def test_a_row_without_anything_in_its_key_is_refused():
    with pytest.raises(Rejected) as told:
        ids(lead("", top='key = ["id"]'), "|a")
    assert told.value.code == "row.key_missing"


# ---- What a mapping may not say ------------------------------------------------------------------


def two(event: str) -> str:
    return lead("") + f"\n[[events]]\n{event}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('source = "x"', "events: Field required"),
        (lead("", top="colour = 1"), "colour: Extra inputs"),
        (lead("", top='zone = "Mars/Base"'), "zone: "),
        (lead("", top="repeats = true"), "repeats: only with `key`"),
        (lead("", top="file = { format = 'xml' }"), "file.format: "),
        (lead("", top="file = { format = 'ndjson' }"), "file: format = 'ndjson' needs `columns`"),
        (
            lead("", top="file = { encoding = 'utf-16' }"),
            "file.encoding: utf-16 does not keep ASCII",
        ),
        (lead("", top="file = { encoding = 'klingon' }"), "there is no encoding 'klingon'"),
        (lead("", top="file = { widths = [3] }"), "`widths` belongs to format = 'fixed'"),
        (
            lead("", top="file = { format = 'fixed', columns = ['a', 'b'], widths = [3] }"),
            "must be of the same number",
        ),
        (two('type = "lead.wonn.v1"\ndata = {}'), "events.2: nothing is known about"),
        (two('type = "lead.won.v1"\ndata.lede = 1'), "lead.won.v1 has no lede; it has lead, value"),
        (two('type = "lead.won.v1"\ndata = {}'), "events.2: lead.won.v1 needs lead in its data"),
        (two('type = "lead.won.v1"\ndata.lead = "{a"'), "events.2.data: a brace is alone"),
        (lead('time = "{id}"'), 'events.1.time: must be one field with as = "time"'),
        (lead("when = { id = { matches = '(' } }"), "events.1.when.id"),
        (lead("").replace('label = "0"', "") * 2, "is not TOML"),
        (lead("", "").replace('label = "1"', 'label = "0"'), "several are 0; give each a `label`"),
        (purchase(fields='paid = { from = "{p}", as = "float" }'), "fields.paid: `as` is text"),
        (
            purchase(fields='paid = { from = "{p}", as = "money" }'),
            "fields.paid.currency: Field req",
        ),
        (purchase(fields='paid = { from = "{p}", currency = "X" }'), "fields.paid.currency: Extra"),
        (purchase(fields='paid = { from = "{p}", other = "X" }'), "`other` is for values"),
        (purchase(fields='paid = { from = "{p}", lookup = "x" }'), "give both"),
        (
            purchase(fields='paid = { from = "{p}", lookup = "x", take = "y" }'),
            "fields.paid: there is no lookup 'x'",
        ),
        (
            purchase(fields='t = { from = "{p}", as = "time", formats = ["%d.%m.%Y"] }'),
            "fields.t: times like '%d.%m.%Y' are local; give a `zone`",
        ),
        (
            purchase(fields='t = { from = "{p}", as = "time", formats = ["%Q"] }'),
            "fields.t.formats.1: 'Q' is a bad directive",
        ),
        ("source = ", "is not TOML"),
    ],
)
def test_a_mapping_that_is_wrong_says_where(text, told):
    with pytest.raises(Rejected) as refused:
        parse(text)
    assert told in refused.value.sentence


@pytest.mark.parametrize(
    ("text", "columns", "told"),
    [
        (
            lead(""),
            "ID|stage",
            "events.1.data.lead.id: there is no field or column 'id'; the columns",
        ),
        (lead(""), "id|id", "several columns are called 'id': say which, #1 or #2"),
        (
            lead('when = { "#3" = "x" }'),
            "id|a",
            "events.1.when.#3: there is no field or column '#3'",
        ),
        (lead("", top='key = ["no"]'), "id|a", "key: there is no field or column 'no'"),
        (lead('once = ["no"]'), "id|a", "events.1.once: "),
        (
            purchase(fields='paid = { from = "{later}" }\nlater = { from = "{who}" }'),
            "who",
            "'later'",
        ),
    ],
)
def test_a_mapping_that_does_not_fit_the_columns_says_where(text, columns, told):
    with pytest.raises(Rejected) as refused:
        Mapper(parse(text), columns.split("|"), {})
    assert told in refused.value.sentence


def test_a_mapping_that_is_not_there_says_so(tmp_path):
    with pytest.raises(Rejected) as refused:
        load(tmp_path / "none.toml")
    assert refused.value.code == "mapping.unreadable"
