"""What a claim carries. Pure."""

from functools import lru_cache

from libs.contract.codec import Unreadable, decode
from proto.execution import Claim
from proto.risk import Approval


def approval_in(claim: Claim) -> Approval | None:
    """The approval, if what the claim carries is one and of the same order."""
    approval = _approval_of(claim.approval_subject, claim.payload)
    return approval if approval is not None and approval.order == claim.order else None


@lru_cache(maxsize=64)
def _approval_of(subject: str, payload: bytes) -> Approval | None:
    """The newest are remembered: the gate, the machines and the desk of a process all ask about a claim."""
    try:
        approval = decode(subject, payload)
    except Unreadable:
        return None
    return approval if isinstance(approval, Approval) else None
