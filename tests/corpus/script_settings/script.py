# /// script
# dependencies = ["banana"]
#
# [tool.uv]
# constraint-dependencies = ["apple<2"]
# ///
"""Say where its environment is."""
import sys

print(sys.prefix)
