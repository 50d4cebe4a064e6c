"""Live sources: one for each venue, all into one queue."""
