"""Deadlines must not depend on which zones a machine happens to have."""

import zoneinfo


def test_a_process_takes_its_zones_from_the_pinned_package(runtime):
    assert zoneinfo.TZPATH == ()
    assert str(zoneinfo.ZoneInfo.no_cache("Europe/Berlin")) == "Europe/Berlin"
