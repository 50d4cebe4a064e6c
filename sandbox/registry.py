"""Which venues the sandbox can serve: those whose server is installed."""

from libs.venues.catalogue import VENUES, in_sandbox
from libs.venues.entry import is_installed, load_entry
from libs.venues.venue import SandboxEntries
from sandbox.venue import VenueServer


def served() -> list[str]:
    """Venues that can be served, in the order of their ports."""
    return [venue for venue in in_sandbox() if is_installed(entries_of(venue).server)]


def entries_of(venue: str) -> SandboxEntries:
    """The entries of a venue that has a part in the sandbox."""
    entries = VENUES[venue].sandbox
    assert entries is not None
    return entries


def server_class(venue: str) -> type[VenueServer]:
    """Return a venue's server class.

    Raises:
        ValueError: for a venue without a server.
    """
    if venue not in served():
        raise ValueError(f"expected a venue of {', '.join(served())}, was {venue!r}")
    found: type[VenueServer] = load_entry(entries_of(venue).server)
    return found
