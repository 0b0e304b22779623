"""Says which of the projects and their tools are there."""
import importlib

for name in ("core", "web", "idna", "wheel"):
    importlib.import_module(name)
    print("%s is there" % name)
