"""Networks that choose actions, one file for each kind."""
