"""The hold role: who works on restrictions and legal holds sees whom they keep from all others.

Keys that a legal hold closes stay closed: opening what is under them takes two people.

Said once where a request comes in, like who looks and why; it holds for all that is done for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SEES_HELD: ContextVar[bool] = ContextVar("sees_held", default=False)


@contextmanager
def seeing_held(*, sees: bool = True) -> Iterator[None]:
    """See what is restricted or held for as long as the block lasts, if one may."""
    before = SEES_HELD.set(sees or SEES_HELD.get())
    try:
        yield
    finally:
        SEES_HELD.reset(before)
