"""Public holidays of countries and regions, as plain dates for a calendar to keep as facts.

A calendar never looks holidays up by itself: what a country decides later must not move deadlines
that were promised before. A new list of holidays is a new version of the agreement.
"""

from collections.abc import Iterable
from datetime import date

import holidays

from domain.rejected import Rejected


def public_holidays(country: str, region: str | None, years: Iterable[int]) -> dict[date, str]:
    """Give the public holidays of a country, or of one of its regions, with their names."""
    try:
        found = holidays.country_holidays(country, subdiv=region, years=list(years))
    except NotImplementedError:
        place = f"{country}, {region}" if region else country
        raise Rejected("calendar.country", f"No holidays are known for {place}.") from None
    return dict(sorted(found.items()))
