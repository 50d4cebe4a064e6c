"""Which claims the outputs of execution call for. Pure: the shell and the in-process runner share it."""

from collections.abc import Sequence

from proto.execution import Claim, OrderStatus, OrderUpdate
from proto.message import Message
from proto.risk import Approval


def claims_of(
    trigger: Message,
    payload: bytes,
    message_id: str,
    signature: str,
    key_id: str,
    outputs: Sequence[Message],
) -> tuple[Claim, ...]:
    """Return the claim for an approval that execution accepted (``pending_submit``); else none.

    ``payload`` is the approval as it was signed.
    """
    if not isinstance(trigger, Approval):
        return ()
    accepted = any(
        isinstance(o, OrderUpdate) and o.status is OrderStatus.PENDING_SUBMIT and o.order == trigger.order
        for o in outputs
    )
    if not accepted:
        return ()
    return (claim_of(trigger, payload, message_id, signature, key_id),)


def claim_of(approval: Approval, payload: bytes, message_id: str, signature: str, key_id: str) -> Claim:
    """Return the claim of a signed approval.

    The nonce and the client's id are the order id here; a shell puts its own secret nonce in before it claims.
    """
    return Claim(
        order=approval.order,
        approval_subject=approval.subject(),
        message_id=message_id,
        payload=payload,
        signature=signature,
        key_id=key_id,
        client_order_id=approval.order,
        nonce=approval.order,
        claimed_at=0,
    )
