"""Orders, fills and alerts as lists: pure folds over the kinds of messages that each needs."""
