"""Nobody needs it."""
