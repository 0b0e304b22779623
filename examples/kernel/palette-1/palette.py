"""Names colours."""

COLOURS = {"sky": "#0000ff"}


def colour(name):
    """The colour of a thing, such as "#0000ff"."""
    return COLOURS[name]
