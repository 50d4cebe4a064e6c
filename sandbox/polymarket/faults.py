"""Which faults this venue's server acts out."""

from sandbox.faults.rules import FaultKind

ACTED_OUT = frozenset(FaultKind)
