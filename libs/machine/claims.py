"""What a claim carries. Pure."""

from libs.contract.codec import Unreadable, decode
from proto.execution import Claim
from proto.risk import Approval


def approval_in(claim: Claim) -> Approval | None:
    """The approval, if what the claim carries is one and of the same order."""
    try:
        approval = decode(claim.approval_subject, claim.payload)
    except Unreadable:
        return None
    return approval if isinstance(approval, Approval) and approval.order == claim.order else None
