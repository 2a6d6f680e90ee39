"""Rows of a file: a broken one never hides another."""

import io
import tracemalloc

import pytest

from api.files.rows import LINE_BYTES_MAX, RECORD_LINES_MAX, Layout, Rows
from domain.rejected import Rejected

FIXED = {"format": "fixed", "header": False, "columns": ("id", "name", "n"), "widths": (4, 6, 3)}


def told(content: bytes | str, **layout: object) -> list[tuple[int, object]]:
    """What comes of a file: for each row its line, and its cells or the code of its fault."""
    raw = content.encode() if isinstance(content, str) else content
    rows = Rows(io.BytesIO(raw), Layout(**layout))
    return [(row.line, row.fault.code if row.fault else row.cells) for row in rows]


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        ("a,b\n1,2\n", {}),
        ("\ufeffa,b\r\n1,2\r\n", {}),
        ("a,b\n1,2", {}),
        ("a;b\n1;2\n", {"delimiter": ";"}),
        ("a\tb\n1\t2\n", {"delimiter": "\t"}),
        ("'a','b'\n'1','2'\n", {"quote": "'"}),
        ('"a", "b"\n"1", "2"\n', {}),
        (" a , b \n 1 ,\t2 \n", {}),
        ("Report of May\n\na,b\n1,2\n", {"skip_lines": 2}),
        ("# note\na,b\n# note\n1,2\n", {"comment": "#"}),
        ("\n\na,b\n  \n1,2\n\n", {}),
        ("x,y\n1,2\n", {"columns": ("a", "b")}),
        ("1,2\n", {"header": False, "columns": ("a", "b")}),
        ("a   b\n 1\t 2\n", {"format": "whitespace"}),
        ('{"a": 1, "b": "2 ", "c": [3]}\n', {"format": "ndjson", "columns": ("a", "b")}),
    ],
)
def test_a_row_is_read_in_any_form(content, layout):
    rows = Rows(io.BytesIO(content.encode()), Layout(**layout))
    assert rows.columns == ["a", "b"]
    assert [row.cells for row in rows] == [["1", "2"]]


def test_encodings_other_than_utf_8_are_read():
    assert told("n\nM\xfcller\n".encode("cp1252"), encoding="cp1252") == [(2, ["Müller"])]


def test_quotes_hold_delimiters_quotes_and_lines_together():
    content = 'a,b\n"x,1","say ""hi"""\n"two\nlines",y\nlast,z\n'
    expected = [(2, ["x,1", 'say "hi"']), (3, ["two\nlines", "y"]), (5, ["last", "z"])]
    assert told(content) == expected


def test_quotes_can_be_no_quotes_and_escapes_can_be_used():
    assert told('a,b\n5" pipe,"x\n', quote="") == [(2, ['5" pipe', '"x'])]
    assert told("a,b\nx\\,y,z\n", escape="\\") == [(2, ["x,y", "z"])]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"1", "row.columns"),
        (b"1,2,3", "row.columns"),
        (b'"1,2', "row.broken"),
        (b'"1"x,2', "row.broken"),
        (b"caf\xe9,2", "row.undecodable"),
        (b"x" * (LINE_BYTES_MAX + 10) + b",2", "row.too_long"),
        (b"x" * (2 * LINE_BYTES_MAX - 1) + b",2", "row.too_long"),
        (b"x" * (LINE_BYTES_MAX - 1), "row.broken"),
    ],
)
def test_a_broken_line_costs_itself_only(line, code):
    content = b"a,b\n1,2\n" + line + b"\n3,4\n5,6\n"
    assert told(content) == [(2, ["1", "2"]), (3, code), (4, ["3", "4"]), (5, ["5", "6"])]


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_broken_line_can_be_the_last(ending):
    assert told(b'a,b\n1,2\n"3,4' + ending) == [(2, ["1", "2"]), (3, "row.broken")]


def test_lines_after_a_quote_that_never_closes_are_rows_of_their_own():
    good = [f"{n},x" for n in range(3 * RECORD_LINES_MAX)]
    rows = told("\n".join(["a,b", '"never,closed', *good]))
    assert rows[0] == (2, "row.broken")
    assert rows[1:] == [(n + 3, [str(n), "x"]) for n in range(3 * RECORD_LINES_MAX)]


def test_a_broken_line_inside_of_a_quoted_text_breaks_only_the_two():
    assert told(b'a,b\n"1\n\xff\n3,4\n') == [
        (2, "row.broken"),
        (3, "row.undecodable"),
        (4, ["3", "4"]),
    ]


def test_ragged_rows_may_be_too_short_or_have_empty_cells_too_many():
    rows = told("a,b,c\n1\n1,2,3,,\n1,2,3,4\n", ragged=True)
    assert rows == [(2, ["1", "", ""]), (3, ["1", "2", "3"]), (4, "row.columns")]


def test_columns_without_names_go_by_their_numbers():
    rows = Rows(io.BytesIO(b"1,2\n3,4\n5\n"), Layout(header=False))
    assert rows.columns == ["", ""]
    assert [row.cells for row in rows] == [["1", "2"], ["3", "4"], []]


def test_members_of_json_objects_keep_every_digit_and_broken_ones_cost_themselves():
    content = """{"id": 1, "who": {"name": "Ada"}, "paid": 12345678901234567.89, "a.b": true}
        {"id": 2, "who": "Bo", "paid": null}
        [1]
        {"id": 3
        {"id": 1e400}
    """
    columns = ("id", "who.name", "paid", "a.b")
    assert told(content, format="ndjson", columns=columns) == [
        (1, ["1", "Ada", "12345678901234567.89", "true"]),
        (2, ["2", "", "", ""]),
        (3, "row.broken"),
        (4, "row.broken"),
        (5, ["1e400", "", "", ""]),
    ]


def test_fixed_widths_cut_and_a_line_may_end_early():
    assert told("0001Ada    12\n0002Bo\n0003Cy     7  too much\n", **FIXED) == [
        (1, ["0001", "Ada", "12"]),
        (2, ["0002", "Bo", ""]),
        (3, "row.columns"),
    ]


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "file.empty"), (b"\n\n", "file.empty"), (b'"a,b\n', "file.header")]
)
def test_a_file_without_a_header_is_refused_as_a_whole(content, code):
    with pytest.raises(Rejected) as refused:
        told(content)
    assert refused.value.code == code


def test_names_that_do_not_fit_the_header_are_refused():
    with pytest.raises(Rejected, match="names 3 columns, the header has 2"):
        told("a,b\n", columns=("a", "b", "c"))


def test_memory_does_not_grow_with_the_file_nor_with_its_lines():
    class Endless(io.RawIOBase):
        """A line of 50 MB, then 30,000 short ones."""

        def __init__(self):
            self.left = [b"a,b\n"] + [b"x" * 8192] * 6400 + [b"\n"] + [b"1,2\n" * 1000] * 30

        def readable(self):
            return True

        def readinto(self, buffer):
            piece = self.left.pop(0) if self.left else b""
            taken, rest = piece[: len(buffer)], piece[len(buffer) :]
            if rest:
                self.left.insert(0, rest)
            buffer[: len(taken)] = taken
            return len(taken)

    file = io.BufferedReader(Endless())
    tracemalloc.start()
    count = sum(1 for _ in Rows(file, Layout()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 30_001
    assert peak < 8_000_000
