"""The root."""
