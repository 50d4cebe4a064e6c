"""Limits of the console, each with its reason."""

SESSIONS_MAX = 64
"""Browsers that are logged in at the same time; the oldest goes first."""
SESSION_IDLE_S = 12 * 3_600
"""Without a request for so long a session is over: a working day."""
SESSION_AGE_S = 7 * 86_400
"""After so long the password is asked for again, whatever was done."""
FAILURES_MAX = 5
"""Wrong passwords of one user, or from one address, within the window; then nobody is let in that way."""
FAILURES_WINDOW_S = 15 * 60
WATCHED_MAX = 4_096
"""Users and addresses whose failures are remembered: an attacker who changes both costs no memory."""
PASSWORD_CHARACTERS_MAX = 256
"""Longer than any that is typed or pasted; hashing takes time that grows with the length."""
PASSWORD_CHARACTERS_MIN = 12
"""Of a password that somebody chooses."""
USER_CHARACTERS_MAX = 40

BODY_BYTES_MAX = 64 << 10
"""Of a request: the largest form has a reason and a password."""
TARGET_CHARACTERS_MAX = 2_048
"""Of a request's path and query."""

CLIENTS_MAX = 24
"""Open sockets: twenty browsers, and some that are just being replaced."""
QUEUE_FRAMES_MAX = 50
"""Frames that wait for one browser: ten seconds of a slow line. Beyond, it gets a snapshot again."""
QUEUE_BYTES_MAX = 2 << 20
"""Of the frames that wait for one browser, in memory: some snapshots of every table. Beyond, it gets one again."""
FRAME_BYTES_MAX = 1 << 20
"""Of a frame: a snapshot of every table has some hundred kilobytes."""
INBOUND_BYTES_MAX = 1_024
"""Of what a browser says on the socket: which tables it wants."""
INBOUND_PER_S_MAX = 10

REQUEST_S = 10.0
"""A connection whose first request has not come by then, or a later one that has begun and is not whole, body included,
is closed: whoever opens many, or sends a byte a second, must not keep others out."""
CONNECTIONS_MAX = 128
"""Open connections: those of the browsers, and their requests beside."""
CONNECTIONS_OF_ADDRESS_MAX = 64
"""Of them from one address: half, so that one machine leaves room for others. Behind a proxy all come from its address."""

DELTA_EVERY_S = 0.2
"""Changes are told five times a second: faster than anybody reads, and within half a second of the tape."""
HEARTBEAT_S = 2.0
"""Without a change, what time it is on the tape: a browser tells a quiet system from a broken line."""
SESSION_CHECK_S = 10.0
"""How soon an open socket notices that its session has ended."""

ORDERS_KEPT = 2_000
FILLS_KEPT = 5_000
ALERTS_KEPT = 500
"""In memory; what is older is in the journal."""
ROWS_SHOWN = 100
"""Of a live table: what is older is a page further."""
PAGE_ROWS_MAX = 500
"""Of one answer of the REST interface."""
EXPORT_ROWS_MAX = 100_000
"""Of one export as JSON Lines."""

OUTCOMES_KEPT = 200
"""Commands whose outcome can still be looked at."""
REASON_CHARACTERS_MAX = 200
FILTER_CHARACTERS_MAX = 200
"""Of a filter: the longest name of an instrument."""
