"""Flitted away."""
__version__ = "4.2"


def main():
    pass
