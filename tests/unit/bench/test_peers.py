"""What other engines are given of a recording, and that their programs stand on their own."""

import ast
from pathlib import Path

from bench.peers.__main__ import write_quotes
from proto.feed import FeedClock, Quote
from tests.support.paths import ROOT

YES, SPOT = "kalshi:A:yes", "coinbase:BTC-USD"


def test_the_others_get_the_contracts_quotes_with_two_sides(tmp_path: Path):
    quotes = [
        Quote(
            instrument=YES, at=5, counter=1, bid=400_000, bid_size=1_000_000, ask=410_000, ask_size=2_000_000
        ),
        Quote(instrument=YES, at=6, counter=2, bid=400_000, bid_size=1_000_000),
        Quote(instrument=YES, at=7, counter=3, bid=420_000, bid_size=1, ask=410_000, ask_size=1),
        Quote(instrument=SPOT, at=8, counter=1, bid=1, bid_size=1, ask=2, ask_size=1),
    ]
    path = tmp_path / "quotes.csv"
    assert write_quotes([FeedClock(at=1), *quotes], path) == 1
    assert path.read_text() == f"{YES},5,400000,1000000,410000,2000000\n"


def test_their_programs_import_nothing_of_ours():
    programs = list((ROOT / "bench" / "peers").glob("*_program.py"))
    assert len(programs) == 2
    ours = {"bench", "libs", "proto", "sandbox", "services", "tools"}
    for path in programs:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not ours & {name.partition(".")[0] for name in names}
