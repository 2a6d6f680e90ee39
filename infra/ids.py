"""New ids: UUIDs of version 7 (RFC 9562), which sort by the time they were made."""

import os
import random
import time

# Ids are no secrets: a system call for each would only let another thread run in between.
CHANCE = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=CHANCE.seed)


def uuid7() -> str:
    """Make an id: 48 bits of milliseconds, then 74 random bits."""
    bits = CHANCE.getrandbits(74)
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | (bits >> 62) << 64
    value |= 0b10 << 62 | bits & (2**62 - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
