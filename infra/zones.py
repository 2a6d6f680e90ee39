"""Time zones come from the pinned package `tzdata`, not from the machine.

The same calendar then means the same instants everywhere, and a read model that is built anew on
another machine has the same deadlines to the byte.
"""

from zoneinfo import reset_tzpath


def use_pinned_zones() -> None:
    """Leave the machine's own zones aside, in this process, from now on."""
    reset_tzpath(to=())
