"""Colours: few, and each with one meaning. They follow the terminal's own palette."""

GOOD = "green"
BAD = "red"
WARN = "yellow"
QUIET = "bright_black"
PLAIN = "default"
STRONG = "bold"
ACCENT = "cyan"
BORDER = "bright_black"
TITLE = "bold cyan"
BANNER_CRITICAL = "bold white on red"
BANNER_WARNING = "black on yellow"

SERVICE_STATES = {
    "live": ("●", GOOD),
    "starting": ("◌", WARN),
    "restarting": ("◌", WARN),
    "stopped": ("■", BAD),
    "refused": ("■", BAD),
    "missing": ("✗", BAD),
}
"""Sign and colour of a service's state; each state has its own sign where colours do not show."""
OTHER_STATE = ("○", QUIET)

UNKNOWN_MONEY = "unknown"
MONEY = {
    "paper": ("paper", QUIET),
    "sandbox": ("SANDBOX LIVE", f"bold {WARN}"),
    "sandbox mana": ("SANDBOX LIVE MANA", f"bold {WARN}"),
    "real": (" REAL MONEY ", BANNER_CRITICAL),
    "real mana": (" REAL MANA ", BANNER_CRITICAL),
    UNKNOWN_MONEY: ("money not known", f"bold {WARN}"),
}
"""Whose money it is that orders move."""

OUTCOMES = {
    "proposed": ("… proposed", QUIET),
    "pending": ("? pending", WARN),
    "approved": ("✓ approved", GOOD),
    "rejected": ("✗ rejected", BAD),
    "refused": ("! refused", BAD),
    "fill": ("◆ filled", ACCENT),
    "settled": ("■ settled", ACCENT),
}


def of_amount(amount: int) -> str:
    """Green for a gain, red for a loss."""
    return GOOD if amount > 0 else BAD if amount < 0 else PLAIN
