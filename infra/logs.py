"""How this process logs: lines for people on a terminal, one JSON object a line elsewhere.

Everything goes to stderr, so that answers on stdout stay clean. Tracebacks never show local
variables: they may hold what a customer wrote.
"""

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import Processor


def configure(level: int = logging.INFO, *, for_people: bool | None = None) -> None:
    """Set up structlog, and the standard library's logging for those who use that."""
    people = sys.stderr.isatty() if for_people is None else for_people
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if people else "iso", utc=not people),
    ]
    last = lines() if people else json_lines()
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def lines() -> list[Processor]:
    """Give what makes lines for people."""
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=24,
        )
    ]


def json_lines() -> list[Processor]:
    """Give what makes one JSON object a line."""
    traceback = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        structlog.processors.ExceptionRenderer(traceback),
        structlog.processors.JSONRenderer(serializer=as_json),
    ]


def as_json(entry: Any, **_: Any) -> str:  # noqa: ANN401 - the contract of the renderer
    """Write an entry down; what JSON does not know is told in words."""
    return orjson.dumps(entry, default=str).decode()
