"""Settled."""
