"""A member."""
