"""Which faults this venue's server acts out."""

from sandbox.faults.rules import TAKING_ORDERS, FaultKind

ACTED_OUT = TAKING_ORDERS | {FaultKind.DUPLICATE_FILL, FaultKind.OVER_FILL, FaultKind.FILL_BEFORE_ACK}
