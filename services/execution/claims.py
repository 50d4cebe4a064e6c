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

    The nonce is the order id here; a shell puts its own secret one in before it claims.
    """
    if not isinstance(trigger, Approval):
        return ()
    accepted = any(
        isinstance(o, OrderUpdate) and o.status is OrderStatus.PENDING_SUBMIT and o.order == trigger.order
        for o in outputs
    )
    if not accepted:
        return ()
    return (
        Claim(
            order=trigger.order,
            approval_subject=trigger.subject(),
            message_id=message_id,
            payload=payload,
            signature=signature,
            key_id=key_id,
            client_order_id=trigger.order,
            nonce=trigger.order,
            claimed_at=0,
        ),
    )
