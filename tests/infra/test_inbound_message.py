"""A Kafka record that cannot even be read becomes a message that says so."""

from types import SimpleNamespace

from infra.kafka.inbound import message


def test_a_header_that_is_no_text_is_a_fault_of_the_message():
    record = SimpleNamespace(value=b"{}", headers=[("ce_id", b"\xff")])
    read = message(record)
    assert read.fault.code == "message.encoding"
    assert read.raw == b"{}"
