"""Searches over flat vectors, one file each."""
