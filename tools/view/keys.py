"""What a press of a key makes of the view: which page, which rows, whether a halt is asked for. No terminal here."""

from dataclasses import dataclass
from enum import Enum

PAGES = ("overview", "decisions", "orders", "positions", "markets", "services")
"""In the order of the keys 1 to 6."""
FILTER_CHARACTERS_MAX = 60
"""Longer than any name that somebody types."""
NEXT, BEFORE, UP, DOWN, PAGE_UP, PAGE_DOWN = "right", "left", "up", "down", "page up", "page down"
ESCAPE, ENTER, ERASE, TAB = "escape", "enter", "erase", "\t"
STEP = {UP: -1, DOWN: 1, "k": -1, "j": 1, PAGE_UP: -10, PAGE_DOWN: 10}
REASON = "key in the terminal view"
"""What a halt says that was pressed here."""


class Wish(Enum):
    """What a press asks of whoever shows the view."""

    HALT = "halt"
    LEAVE = "leave"


@dataclass
class Shown:
    """What is looked at. ``may_halt``, ``may_leave``: what the keys can do here; ``told``: what came of the last one."""

    page: str = PAGES[0]
    filter: str = ""
    first: int = 0
    is_typing: bool = False
    asks_to_halt: bool = False
    may_halt: bool = True
    may_leave: bool = True
    told: str = ""

    def press(self, key: str) -> Wish | None:
        """Take a key: a character, or the name of one that has none."""
        if self.is_typing:
            self._type(key)
            return None
        if self.asks_to_halt:
            self.asks_to_halt = False
            return Wish.HALT if key in ("y", "Y") else None
        self.told = ""
        if key in ("h", "H") and self.may_halt:
            self.asks_to_halt = True
        elif key == "q" and self.may_leave:
            return Wish.LEAVE
        elif key == "/" and self.page != PAGES[0]:
            self.is_typing = True
        elif key == ESCAPE:
            self.filter, self.first = "", 0
        elif key in STEP:
            self.first = max(0, self.first + STEP[key])
        else:
            self._turn(key)
        return None

    def fits(self, text: str) -> bool:
        """Whether a row with this text is wanted."""
        return self.filter.lower() in text.lower()

    def _turn(self, key: str) -> None:
        at = PAGES.index(self.page)
        if key in (NEXT, TAB):
            at = (at + 1) % len(PAGES)
        elif key == BEFORE:
            at = (at - 1) % len(PAGES)
        elif len(key) == 1 and key in "123456":
            at = int(key) - 1
        if PAGES[at] != self.page:
            self.page, self.first = PAGES[at], 0

    def _type(self, key: str) -> None:
        if key == ESCAPE:
            self.is_typing, self.filter = False, ""
        elif key == ENTER:
            self.is_typing = False
        elif key == ERASE:
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable() and len(self.filter) < FILTER_CHARACTERS_MAX:
            self.filter += key
        self.first = 0
