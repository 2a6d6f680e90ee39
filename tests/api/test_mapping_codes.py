"""What is wrong with a mapping has a code for programs, besides its sentence."""

import pytest

from api.files.mapping import parse
from api.files.templates import Names, template
from domain.rejected import Rejected


@pytest.mark.parametrize(
    ("text", "code"),
    [("source = ", "mapping.not_toml"), ("colour = 'red'", "mapping.invalid")],
)
def test_a_mapping_that_is_none_is_refused(text, code):
    with pytest.raises(Rejected) as no:
        parse(text)
    assert no.value.code == code


@pytest.mark.parametrize(
    ("name", "code"),
    [("mail", "mapping.column_ambiguous"), ("phone", "mapping.column_unknown")],
)
def test_a_template_names_one_column_that_is_there(name, code):
    with pytest.raises(Rejected) as no:
        template("{" + name + "}", Names(["mail", "city", "mail"]), "events.1.data")
    assert no.value.code == code
