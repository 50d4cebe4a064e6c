"""Which questions have left, and what they cost: written before a request does, so that no crash makes anybody pay twice.

One line a question, appended and handed to the operating system before the request. A killed process loses nothing of
it; a machine that loses its power may lose the newest lines, and with them at most the questions of that second.

It is the shell's own account, too: what stands on the tape in the advisor's name may be somebody else's word, and so
may a cost. A question whose cost is not known counts with all that was held back for it.
"""

import os
from pathlib import Path

from libs.files import write_atomically
from libs.runtime.layout import OWNER_ONLY
from proto.units import Money, Nanoseconds, as_money
from services.advisor.moments import DAY, civil_date

KEPT = 5_000
"""Questions remembered across starts: hundreds of rounds, and a question is open for minutes."""
DAYS_KEPT = 62
"""Days whose sums are remembered: a month's cap looks back at most 31."""
_SUM, _PAID = "sum", "paid"


class AskedLog:
    """The file ``STATE/advisor/asked.log``.

    Its lines: ``<question> <day> <reserve>`` when it leaves, ``paid <question> <cost>`` once that is known, and
    ``sum <day> <money>`` for questions that are no longer kept. Days are counted from 1970, money is in millionths.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True, mode=OWNER_ONLY)
        self._known: dict[str, tuple[int, Money]] = {}
        self._sums: dict[int, Money] = {}
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        for line in lines:
            self._read(line.split(" "))
        if len(lines) > KEPT:
            write_atomically(path, "".join(f"{line}\n" for line in self._compact()).encode())
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # A process that was killed within a line leaves one that has no end: the next must not grow into it.
        os.write(self._file, b"\n")

    def __contains__(self, question: str) -> bool:
        return question in self._known

    def add(self, question: str, at: Nanoseconds, reserve: Money) -> None:
        """Remember that a question leaves now. Raises OSError when it cannot be written: then it must not leave."""
        day = at // DAY
        os.write(self._file, f"{question} {day} {reserve}\n".encode())
        self._count(question, day, reserve)

    def settle(self, question: str, cost: Money) -> None:
        """What a question really cost. One that cannot be written counts with its reserve after a restart."""
        day, held = self._known[question]
        self._known[question] = (day, cost)
        self._sums[day] = as_money(self._sums.get(day, 0) + cost - held)
        os.write(self._file, f"{_PAID} {question} {cost}\n".encode())

    def left(self, at: Nanoseconds, day_cap: Money, month_cap: Money) -> Money:
        """What may still be spent on that day and in that month (UTC)."""
        today = at // DAY
        month = civil_date(today)[:2]
        spent = [money for day, money in self._sums.items() if civil_date(day)[:2] == month]
        return min(day_cap - self._sums.get(today, 0), month_cap - sum(spent))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    # ── reading ────────────────────────────────────────────────────────────────────────────────────

    def _count(self, question: str, day: int, reserve: Money) -> None:
        self._known[question] = (day, reserve)
        self._sums[day] = as_money(self._sums.get(day, 0) + reserve)

    def _read(self, words: list[str]) -> None:
        """One line; half of one, or one of an older version, is still the name of a question that has left."""
        try:
            if words[0] == _SUM:
                self._sums[int(words[1])] = as_money(self._sums.get(int(words[1]), 0) + int(words[2]))
            elif words[0] == _PAID:
                day, held = self._known[words[1]]
                self._known[words[1]] = (day, int(words[2]))
                self._sums[day] = as_money(self._sums.get(day, 0) + int(words[2]) - held)
            else:
                self._count(words[0], int(words[1]), int(words[2]))
        except (ValueError, IndexError, KeyError):
            if words[0] not in ("", _SUM, _PAID):
                self._known.setdefault(words[0], (0, 0))

    def _compact(self) -> list[str]:
        """The newest questions line by line, the older ones as sums of their days."""
        kept = dict(list(self._known.items())[-KEPT // 2 :])
        self._known = kept
        days = sorted(self._sums)[-DAYS_KEPT:]
        self._sums = {day: self._sums[day] for day in days}
        lines = []
        for day in days:
            rest = self._sums[day] - sum(money for of_day, money in kept.values() if of_day == day)
            lines.append(f"{_SUM} {day} {rest}")
        return lines + [f"{question} {day} {money}" for question, (day, money) in kept.items()]
