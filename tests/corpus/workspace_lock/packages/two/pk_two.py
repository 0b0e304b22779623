"""Another member."""
