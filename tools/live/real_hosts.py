"""Which addresses are the real venues', and which are this machine's."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from libs.venues.catalogue import VENUES, takes_orders


def addresses(section: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Parameter and address of everything in a venue's section that is one, whatever its name."""
    for key, value in section.items():
        if isinstance(value, str) and "://" in value:
            yield key, value


def is_own_machine(address: str) -> bool:
    """Whether an address can only be this machine's; a name could be anybody's."""
    try:
        return ip_address(urlsplit(address).hostname or "").is_loopback
    except ValueError:
        return False


def is_own_network(address: str) -> bool:
    """Whether an address can only be this machine's or its network's.

    A name of letters, digits and hyphens without a dot is no public one; it begins with a letter, because a number
    is an address.
    """
    host = urlsplit(address).hostname or ""
    is_bare = host[:1].isalpha() and host.isascii() and host.replace("-", "").isalnum()
    return is_bare or is_own_machine(address)


def stranger(venues: Mapping[str, Mapping[str, Any]]) -> str:
    """The first address of an enabled venue that takes orders which is no host of its real markets, or ""."""
    for venue, section in venues.items():
        if not takes_orders(venue) or not section.get("enabled", True):
            continue
        known = VENUES[venue]
        real = {_host(address) for _, address in addresses(known.params().document())}
        for key, address in addresses(section):
            if _host(address) not in real.union(known.real_hosts):
                return f"venues.{venue}.{key}"
    return ""


def _host(address: str) -> str:
    return urlsplit(address).hostname or ""
