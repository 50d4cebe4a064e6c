"""News from RSS, Atom and JSON feeds: a process of its own reads and parses them, the feed puts them on the tape."""
