"""Programs to copy, each alone."""
