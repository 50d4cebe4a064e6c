"""A trading day, folded from the tape, and the rules that find where it lost money. Pure."""
