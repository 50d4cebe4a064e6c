"""What a key may say: the verbs of commands, and of the two messages that only the operator sends."""

from proto.operator import Command, Config, Session, Verb

OPEN = "open"
"""Open a session."""
CONFIGURE = "configure"
"""Put a section of the configuration onto the tape."""

CONSOLE_VERBS = tuple(
    verb.value
    for verb in (
        Verb.HALT,
        Verb.CLOSE_ONLY,
        Verb.RESUME,
        Verb.APPROVE,
        Verb.DENY,
        Verb.ACCEPT,
        Verb.REJECT,
        Verb.FLATTEN,
    )
)
"""What the console's key may say: nothing that loosens a limit, skips a message or configures anything."""


MONITOR_VERBS = (Verb.HALT.value,)
"""What the monitor's key may say, for a chat that it listens to: to halt is anybody's right."""


def verb_of(message: Session | Config | Command) -> str:
    """The verb that a key must have to say a message."""
    if isinstance(message, Command):
        return message.verb.value
    return OPEN if isinstance(message, Session) else CONFIGURE
