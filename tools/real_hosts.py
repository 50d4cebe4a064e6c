"""Which addresses are the real venues', and which are this machine's."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from libs.keys.kinds import KINDS
from tools.composition import VENUES

DOMAIN_LABELS = 2
"""``kalshi.com`` of ``external-api.kalshi.com``; the demo environments are at domains of their own."""


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


def stranger(venues: Mapping[str, Mapping[str, Any]]) -> str:
    """The first address of an enabled venue that takes orders which is not at that venue's own domain, or ""."""
    for venue, section in venues.items():
        if venue not in KINDS or not section.get("enabled", True):
            continue
        own = {_domain(address) for _, address in addresses(msgspec.to_builtins(VENUES[venue]()))}
        for key, address in addresses(section):
            if _domain(address) not in own:
                return f"venues.{venue}.{key}"
    return ""


def _domain(address: str) -> str:
    return ".".join((urlsplit(address).hostname or "").split(".")[-DOMAIN_LABELS:])
