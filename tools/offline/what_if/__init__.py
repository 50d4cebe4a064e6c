"""What-if: the machines over a recorded tape once more, with something changed, and what would have come of it.

``recorded`` knows where each output stands on the tape, ``branch`` runs the machines on a tape that parts from it,
``outcome`` folds what came of a branch, ``compare`` says how two differ. They are pure. ``run`` reads the tape.
"""
