"""Writers of metrics, one file for each kind."""
