"""What the services report of each venue, put together: do its prices come, may orders go there, what is open."""

from collections.abc import Collection, Mapping
from typing import Any

from libs.venues.catalogue import takes_orders
from libs.view.rows import VenueRow

Reported = Mapping[str, Mapping[str, Any]]
LIVE = "live"
MONEY = ("balance", "available")


def venue_status(reports: Reported, live: Collection[str], money: str) -> dict[str, dict[str, Any]]:
    """Venue → its state, from the newest reports of the feed and of execution; those that get orders first.

    ``feed``: "live" or why not. ``money``: whose money orders there move, "paper" where none are sent, "" where none can be. For a venue
    that gets orders also ``gate`` ("open" or why not), ``unknown`` orders, ``reconciled_at`` (ns, 0: never), and since
    then ``balance`` and ``available``, in millionths of a dollar. ``notes``: what the feed
    leaves out there, and why.
    """
    feeds: Mapping[str, Any] = reports.get("feed", {}).get("venues", {})
    gates: Mapping[str, Any] = reports.get("execution", {}).get("venues", {})
    found: dict[str, dict[str, Any]] = {}
    for venue in sorted({*feeds, *gates}, key=lambda name: (name not in gates, name)):
        fed = feeds.get(venue, {})
        found[venue] = {"feed": _feed_words(venue, fed), "markets": fed.get("markets", 0)}
        found[venue]["money"] = "paper" if takes_orders(venue) else ""
        if fed.get("notes"):
            found[venue]["notes"] = list(fed["notes"])
        if venue in gates or venue in live:
            gate = gates.get(venue, {})
            found[venue] |= {
                "money": money,
                "gate": gate.get("gate", "not reported"),
                "unknown": gate.get("unknown", 0),
                "reconciled_at": gate.get("reconciled_at", 0),
            } | {name: gate[name] for name in MONEY if name in gate}
    return found


def _feed_words(venue: str, fed: Mapping[str, Any]) -> str:
    if not fed:
        return "off"
    detail = str(fed.get("detail", "")).removeprefix(f"{venue}: ")
    return detail or (LIVE if fed.get("connected") else "not connected")


def venue_rows(reports: Reported, live: Collection[str], money: str) -> list[VenueRow]:
    """The same for the view."""
    return [
        VenueRow(
            name,
            row["feed"],
            row["markets"],
            row.get("gate", ""),
            row.get("unknown", 0),
            row["money"],
        )
        for name, row in venue_status(reports, live, money).items()
    ]
