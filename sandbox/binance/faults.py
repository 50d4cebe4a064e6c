"""Which faults this venue's server acts out."""

from sandbox.faults.rules import ANYWHERE

ACTED_OUT = ANYWHERE
