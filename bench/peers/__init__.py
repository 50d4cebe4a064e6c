"""Other engines over the same recording, in one run: `python -m bench.peers` (`make peers` before)."""
