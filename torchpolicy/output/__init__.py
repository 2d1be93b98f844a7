"""What a run writes and shows: its files, metrics, pictures and exported policies."""
