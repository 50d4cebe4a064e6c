"""Every venue's object: what it names exists, and nothing heavy is loaded before it is used."""

import re
import subprocess
import sys

import pytest

from libs.venues.catalogue import VENUES, fee_formula
from libs.venues.entry import load_entry
from libs.venues.params import VenueParams
from libs.venues.venue import HealthCheck, Venue
from proto.feed import FeeSchedule
from sandbox.faults.rules import FaultKind, acted_out
from sandbox.registry import server_class
from tests.support.paths import ROOT


@pytest.mark.parametrize("name", VENUES)
def test_what_a_venue_names_exists(name: str):
    venue = VENUES[name]
    assert venue.name == name
    assert venue.health_check.address in venue.params.model_fields
    assert load_entry(venue.normaliser)({}).errors == 0
    assert callable(load_entry(venue.source))
    assert not venue.takes_orders or callable(load_entry(venue.gateway))
    assert server_class(name).venue == name
    assert FaultKind.SILENT_SOCKET in acted_out(name)
    assert fee_formula(venue.fees.model) is venue.fees
    assert venue.fees.trade_fee(FeeSchedule(model=venue.fees.model), 500_000, 1_000_000, False) == 0


def test_a_venue_that_takes_orders_says_with_what_key():
    with pytest.raises(ValueError, match="expected a gateway and a kind of key, or neither"):
        Venue(
            name="x",
            params=VenueParams,
            normaliser="",
            source="",
            health_check=HealthCheck("", ""),
            gateway="a:b",
        )


def test_the_catalogue_loads_no_signing_library_and_no_service():
    program = (
        "import sys, libs.venues.catalogue; "
        "print([m for m in sys.modules if m.partition('.')[0] in "
        "('services', 'sandbox', 'cryptography', 'coincurve', 'eth_account', 'httpx', 'websockets')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", VENUES)
def test_the_readme_of_a_venue_names_every_file(name: str):
    folder = ROOT / "libs" / "venues" / name
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.py") if path.name != "__init__.py"}
    rows = re.findall(r"^\| (`[^|]*`) \| ", (folder / "README.md").read_text(), re.MULTILINE)
    assert {file for row in rows for file in re.findall(r"`([\w/]+\.py)`", row)} == files
