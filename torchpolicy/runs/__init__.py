"""A run from its settings to its result: presets, checks, the folder, processes, resuming."""
