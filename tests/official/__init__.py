"""What the venues' own clients compute and do. It runs in their environment, which has nothing of ours in it."""
