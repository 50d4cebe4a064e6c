"""Names that the services use, as their sources have them."""

import re

from tests.support.paths import ROOT


def names_of_checks() -> set[str]:
    """Every check of risk, and the one that a denial by the operator stands as."""
    found = re.findall(
        r'(?:return |_elapsed\(|= \()"([a-z_]+)",', (ROOT / "services/risk/checks.py").read_text()
    )
    if len(found) < 30:
        raise AssertionError(f"expected 30 checks and more in services/risk/checks.py, was {len(found)}")
    return {*found, "operator"}
