"""It grew."""
