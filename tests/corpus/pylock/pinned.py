"""Pinned."""
