"""The live terminal view: a pure fold over the tape, and a frame drawn from it."""
