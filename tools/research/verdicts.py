"""What a self-check says: how often it looked, and the first thing that was not as it should be."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Verdict:
    """One check of a report over a whole run. ``first`` says what was expected and what it was."""

    name: str
    text: str
    looked: int = 0
    failed: int = 0
    first: str = ""

    def check(self, holds: bool, seq: int, expected: object, was: object) -> None:
        """Count one look; the first failure is kept in words."""
        self.looked += 1
        if holds:
            return
        self.failed += 1
        self.first = self.first or f"expected {expected}, was {was} (message {seq})"

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.name,
            "text": self.text,
            "looked": self.looked,
            "failed": self.failed,
            "first": self.first,
        }
