"""An interaction is kept once, whatever is sent how often."""

import pytest

from domain.interaction import InteractionRecorded, record
from domain.rejected import Rejected
from tests.scenario import Scenario

MAIL = InteractionRecorded(channel="email", direction="inbound", kind="message", message="Hello")


def test_an_interaction_that_is_new_is_kept():
    assert record(None, MAIL) == [MAIL]


def test_the_same_message_again_is_nothing_new():
    assert record(MAIL, MAIL.model_copy()) == []


@pytest.mark.parametrize(
    "change", [{"message": "Bye"}, {"channel": "chat"}, {"direction": "outbound"}, {"kind": "call"}]
)
def test_the_same_message_with_another_content_is_reported(change):
    other = MAIL.model_copy(update=change)
    Scenario(MAIL).when(record, other).rejected("interaction.conflict", "different content")
    with pytest.raises(Rejected):
        record(other, MAIL)
