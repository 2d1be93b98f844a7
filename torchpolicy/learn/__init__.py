"""Learners of one policy from the episodes it played, one file each."""
