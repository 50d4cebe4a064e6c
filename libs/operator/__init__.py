"""What an operator says, signed, and what came of it on the tape."""
