"""Learners, which improve one policy from the episodes it played. Each has a file of its own."""
