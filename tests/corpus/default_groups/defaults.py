"""Defaults."""
