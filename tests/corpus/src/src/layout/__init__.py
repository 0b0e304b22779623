__version__ = "2.3.dev4"


def main():
    pass
