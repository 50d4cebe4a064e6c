"""Where the feed's messages come from: recordings, sockets, venues, or the synthetic market; one of them a run."""
