"""What ``presage up`` was asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from proto.operator import Prices
from tools.system.composition import DEFAULT_STRATEGIES


class MarketSource(StrEnum):
    """Where prices come from when nothing is played: the feed's own synthetic frames, or venues."""

    SYNTHETIC = "synthetic"
    SANDBOX = "sandbox"
    REAL = "real"


@dataclass
class Options:
    """What ``presage up`` was asked for. ``speed`` ``None`` is maximum: lockstep.

    ``live``: venues that get real orders; at the sandbox they cost nothing. ``paper_state``: where the paper
    trades were made that open the gate to real money.
    """

    state: Path
    recordings: list[Path] = field(default_factory=list)
    speed: float | None = 1.0
    seed: int = 7
    sockets: list[str] = field(default_factory=list)
    for_s: float | None = None
    adopt: list[str] = field(default_factory=list)
    strategies: Sequence[str] = DEFAULT_STRATEGIES
    market: MarketSource = MarketSource.SYNTHETIC
    live: Sequence[str] = ()
    faults: Path | None = None
    passphrase: str = field(default="", repr=False)
    paper_state: Path | None = None
    archive_keep_days: int = 0
    standby: bool = False
    """Start a second process of each service, which follows and takes over; only where the broker is a cluster."""
    metrics_port: int = 0
    """The supervisor's status port, and the services' after it; 0: any free ones."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Path of a setting → where its value comes from."""
    news: Mapping[str, Any] = field(default_factory=dict)
    notify: Mapping[str, Any] = field(default_factory=dict)
    """The section ``notify``."""
    evaluator: bool = False
    """Whether the evaluator runs beside the services; never while a recording is played."""
    console: bool = False
    """Whether the console runs beside the services."""
    examined: Sequence[str] = ()
    """Venues for which the doctor had no complaint and the phrase was typed: without them no real money."""

    @property
    def money(self) -> str:
        """Whose money the account is: a state directory never changes from one kind to another."""
        if not self.live:
            return "paper"
        return "sandbox" if self.market is MarketSource.SANDBOX else "real"

    @property
    def prices(self) -> Prices:
        """Where the prices of its sessions come from; a recording's are old ones, whoever made them."""
        if self.recordings:
            return Prices.RECORDING
        return Prices.UNKNOWN if self.sockets else Prices(self.market.value)
