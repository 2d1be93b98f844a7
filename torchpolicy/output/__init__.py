"""What a run leaves behind and shows: its files, metrics, pictures and exported policies."""
