"""Best bid and ask of each instrument, with proof that no message was lost."""

from msgspec import Struct

from proto.feed import Book, Gap, Quote
from proto.units import Nanoseconds, Price, Quantity


class Top(Struct, gc=False):
    """The best bid and ask of one instrument. ``gapped``: continuity was lost, do not trade on it."""

    counter: int
    at: Nanoseconds
    bid: Price | None
    bid_size: Quantity
    ask: Price | None
    ask_size: Quantity
    gapped: bool


class Tops(Struct):
    """Tops of all instruments.

    An instrument is known from its first Book with ``snapshot`` on; quotes before it are ignored. A jump
    of the counter or a Gap marks it gapped until the next snapshot. A gapped top still follows the quotes:
    the newest price is better than none for whoever must get out.
    """

    tops: dict[str, Top] = {}

    def on_quote(self, quote: Quote) -> Top | None:
        """Take a quote; return the instrument's top, ``None`` if it is not known."""
        # A model finds each field by a hook; the dictionary behind it is asked in a third of the time.
        fields = quote.__dict__
        top = self.tops.get(fields["instrument"])
        if top is None:
            return None
        counter = fields["counter"]
        if counter != top.counter + 1:
            top.gapped = True
        top.counter = counter
        top.at = fields["at"]
        top.bid = fields["bid"]
        top.bid_size = fields["bid_size"]
        top.ask = fields["ask"]
        top.ask_size = fields["ask_size"]
        return top

    def on_book(self, book: Book) -> Top | None:
        """Take a book; return the instrument's top, ``None`` if it is not known."""
        fields = book.__dict__
        instrument, counter = fields["instrument"], fields["counter"]
        top = self.tops.get(instrument)
        if top is None:
            if not fields["snapshot"]:
                return None
            top = self.tops[instrument] = Top(counter, fields["at"], None, 0, None, 0, gapped=False)
        elif fields["snapshot"]:
            top.gapped = False
        elif counter != top.counter + 1:
            top.gapped = True
        top.counter = counter
        top.at = fields["at"]
        if bids := fields["bids"]:
            top.bid, top.bid_size = bids[0]
        else:
            top.bid, top.bid_size = None, 0
        if asks := fields["asks"]:
            top.ask, top.ask_size = asks[0]
        else:
            top.ask, top.ask_size = None, 0
        return top

    def on_gap(self, gap: Gap) -> None:
        """Mark the instrument, or without one everything of the venue, gapped."""
        prefix = f"{gap.venue}:"
        for instrument, top in self.tops.items():
            if instrument == gap.instrument or (not gap.instrument and instrument.startswith(prefix)):
                top.gapped = True

    def on_session(self) -> None:
        """A new session: what an earlier one saw is not continued by anything."""
        for top in self.tops.values():
            top.gapped = True

    def forget(self, instrument: str) -> None:
        """Drop an instrument that is over."""
        self.tops.pop(instrument, None)
