"""What trading came to: returns and risk of an account, and figures of its trades. Pure; definitions with their sources."""
