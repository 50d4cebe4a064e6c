"""Which faults this venue's server acts out."""

from sandbox.faults.rules import TAKING_ORDERS

ACTED_OUT = TAKING_ORDERS
