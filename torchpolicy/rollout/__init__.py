"""Playing episodes: the only loops that step environments, and what comes of them."""
