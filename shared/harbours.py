"""Harbours, and the shortest way through some of them."""

import re
from itertools import pairwise, permutations
from math import asin, cos, radians, sin, sqrt
from typing import NamedTuple

STOPS_MIN = 2
STOPS_MAX = 7
MILES_TO_RADIAN = 3440.065


class Harbour(NamedTuple):
    """A harbour, and where it is in degrees."""

    code: str
    name: str
    latitude: float
    longitude: float


class Route(NamedTuple):
    """An order of stops, and how many nautical miles it takes."""

    stops: list[str]
    miles: int


HARBOURS = {
    harbour.code: harbour
    for harbour in (
        Harbour("bergen", "Bergen", 60.39, 5.31),
        Harbour("brest", "Brest", 48.38, -4.49),
        Harbour("cork", "Cork", 51.85, -8.29),
        Harbour("dover", "Dover", 51.12, 1.32),
        Harbour("hamburg", "Hamburg", 53.54, 9.97),
        Harbour("leith", "Leith", 55.99, -3.17),
        Harbour("lisbon", "Lisbon", 38.7, -9.16),
        Harbour("porto", "Porto", 41.19, -8.7),
        Harbour("reykjavik", "Reykjavík", 64.15, -21.94),
    )
}
CODE = re.compile(rf"^(?:{'|'.join(HARBOURS)})\Z")


def miles_between(one: str, other: str) -> float:
    """Measure from one harbour to another, as a gull would fly."""
    here, there = HARBOURS[one], HARBOURS[other]
    north = radians(there.latitude - here.latitude)
    east = radians(there.longitude - here.longitude)
    across = sin(east / 2) ** 2
    across *= cos(radians(here.latitude)) * cos(radians(there.latitude))
    return 2 * MILES_TO_RADIAN * asin(sqrt(sin(north / 2) ** 2 + across))


def plan_route(stops: list[str]) -> Route:
    """Go from the first stop through all others: every order is tried."""
    first, *others = stops
    ways = ([first, *order] for order in permutations(others))
    return min((Route(way, length(way)) for way in ways), key=by_miles)


def length(way: list[str]) -> int:
    """Add up the legs of a way."""
    return round(sum(miles_between(*leg) for leg in pairwise(way)))


def by_miles(route: Route) -> int:
    """Compare routes by how far they go."""
    return route.miles
