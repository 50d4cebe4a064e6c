"""The live terminal view: a frame drawn from the fold of the tape."""
