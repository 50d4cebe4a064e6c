"""PostgreSQL for the journal: the embedded server."""
