# /// script
# requires-python = ">=3.8"
# dependencies = [
#     "cherry[jam]",
#     "apple<2; python_version > '3'",
# ]
#
# [tool.ruff]
# line-length = 80
# ///
"""Say where its environment is."""
import sys

print(sys.prefix)
