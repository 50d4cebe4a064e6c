"""A copy of everything that one installation cannot make again, and the way back."""
