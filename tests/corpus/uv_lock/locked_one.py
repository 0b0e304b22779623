"""Locked."""
