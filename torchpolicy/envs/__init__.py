"""Environments: what the engine sees of them, and where they come from."""
