"""Extra."""
