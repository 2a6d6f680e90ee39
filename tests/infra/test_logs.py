"""How a process logs: to stderr, for people or for programs, and never a local variable."""

import json
import logging

import pytest
import structlog

from infra import logs


def fail(what_a_customer_wrote: str) -> None:
    raise ValueError(len(what_a_customer_wrote))


def test_programs_get_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(for_people=False)
    structlog.get_logger().info("event.kept", position=7)
    structlog.get_logger().debug("event.unseen")
    logging.getLogger("somebody").warning("told by %s", "the standard library")
    out, err = capsys.readouterr()
    ours, theirs = map(json.loads, err.splitlines())
    assert out == ""
    assert (ours["event"], ours["position"], ours["level"]) == ("event.kept", 7, "info")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["logger"]) == ("told by the standard library", "somebody")


def test_people_get_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logging.WARNING, for_people=True)
    structlog.get_logger().info("event.kept")
    structlog.get_logger().warning("event.late", position=7)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "event.late" in err
    assert "position=7" in err


@pytest.mark.parametrize("for_people", [True, False])
def test_a_traceback_shows_no_local_variable(
    capsys: pytest.CaptureFixture[str], *, for_people: bool
) -> None:
    logs.configure(for_people=for_people)
    for logger in (structlog.get_logger(), logging.getLogger("somebody")):
        try:
            fail("my secret")
        except ValueError:
            logger.exception("work.failed")
    told = capsys.readouterr().err
    assert told.count("ValueError") >= 2
    assert "test_logs.py" in told
    assert "my secret" not in told.replace('fail("my secret")', "")
