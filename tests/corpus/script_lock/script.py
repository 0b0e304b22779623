# /// script
# dependencies = ["banana"]
# ///
"""Say where its environment is."""
import sys

print(sys.prefix)
