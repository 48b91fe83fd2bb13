"""What a job does: one module a phase."""
