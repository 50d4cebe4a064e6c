"""Names that the services use, as their sources have them."""

import re

from tests.support.paths import ROOT


def names_of_checks() -> set[str]:
    """Every check of risk, and the one that a denial by the operator stands as."""
    sources = [(ROOT / "services/risk" / name).read_text() for name in ("checks.py", "desk_checks.py")]
    found = re.findall(r'(?:return |_elapsed\(|_stake_check\(|= \()"([a-z_]+)",', "".join(sources))
    if len(found) < 40:
        raise AssertionError(f"expected 40 checks and more in services/risk, was {len(found)}")
    return {*found, "operator"}
