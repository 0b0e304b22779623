"""Names colours, many of them as they are seen."""

COLOURS = {"sky": (135, 206, 235)}


def colour(name):
    """The colour of a thing, as red, green and blue from 0 to 255."""
    return COLOURS[name]
