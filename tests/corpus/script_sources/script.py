# /// script
# dependencies = ["pk"]
#
# [tool.uv.sources]
# pk = { path = "lib/pk" }
# ///
"""Say where its environment is."""
import sys

print(sys.prefix)
