"""What people see of the tape, whatever draws it: a pure fold, and words for its numbers, names and moments."""
