"""Held."""
