"""Writes a C header: the host names of a text file, as a resolver needs them."""
import io
import sys

import idna

print("/* Made by generate.py: change %s instead. */" % sys.argv[1])
print("static const char *const hosts[] = {")
with io.open(sys.argv[1], encoding="utf-8") as lines:
    for name in lines.read().split():
        print('    "%s",' % idna.encode(name).decode())
print("};")
