"""How often Manifold may be asked.

Source: docs/reference/venue-facts.md, Manifold hosts.
"""

READS_PER_S = 5.0
"""The venue allows an address 500 a minute. Reads and orders have a bucket each: reads starve no order."""
ORDERS_PER_S = 2.0
BURST = 20.0
PING_EVERY_S = 30.0
"""The venue drops a connection after 60 s without a word from us."""
