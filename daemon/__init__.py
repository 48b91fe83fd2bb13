"""What runs: the one per-user process that decides, in one place, what happens next."""
