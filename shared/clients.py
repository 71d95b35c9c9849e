"""Who a request is counted for: a key that is known, else an address."""

import re
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple

type Address = IPv4Address | IPv6Address

_KEY = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/=-]+)")
HOST_BITS = 64
"""How many bits of an IPv6 address are a customer's own to choose."""


class Client(NamedTuple):
    """A name that the server has chosen, and whether a key was made up."""

    name: str
    is_forged: bool = False


class Clients:
    """The keys that were given out, and the proxies that are believed."""

    def __init__(self, api_keys: str, proxies: str) -> None:
        """Take both as lists with commas; `ValueError` for no network."""
        self._keys = {digest(key) for key in listed(api_keys)}
        self._proxies = [ip_network(each) for each in listed(proxies)]

    def find(
        self,
        authorization: Sequence[str],
        peer: str | None,
        forwarded: Sequence[str],
    ) -> Client:
        """Name who asks: by the lines of two headers, and its address."""
        if not authorization:
            return Client(self._place(peer, forwarded))
        found = _KEY.fullmatch(authorization[0])
        # A key is nobody's business: what is counted by is its digest.
        name = digest(found[1]) if found and len(authorization) == 1 else ""
        # rule: known-keys
        if name not in self._keys:
            return Client(self._place(peer, forwarded), is_forged=True)
        return Client(f"key:{name}")

    def _place(self, peer: str | None, forwarded: Sequence[str]) -> str:
        """Go back from the peer, as long as proxies tell who asked them."""
        hops = [hop for line in forwarded for hop in line.split(",")]
        place = read_address(peer or "")
        for hop in reversed(hops):
            # rule: true-address
            if not self._is_proxy(place):
                break
            before = read_address(hop)
            if before is None:
                break
            place = before
        return f"address:{network_of(place)}"

    def _is_proxy(self, address: Address | None) -> bool:
        return any(address in network for network in self._proxies if address)


def listed(text: str) -> list[str]:
    """Read a list with commas."""
    return [each for part in text.split(",") if (each := part.strip())]


def digest(key: str) -> str:
    """Write a key so that nobody can use what is written."""
    return sha256(key.encode()).hexdigest()


def read_address(text: str) -> Address | None:
    """Read an address as proxies write it, perhaps with a port."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(address: Address | None) -> str:
    """Write what one customer has: one IPv4 address, or a /64 of IPv6."""
    # rule: true-address
    if isinstance(address, IPv6Address):
        network = (int(address), 128 - HOST_BITS)
        return str(IPv6Network(network, strict=False))
    return str(address)
