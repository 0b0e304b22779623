"""Write each line of names.txt as a domain name into names.out."""

import os

import idna

suffix = os.environ.get("SUFFIX", ".example")
with open("names.txt", encoding="utf-8") as names, open("names.out", "w", encoding="utf-8") as out:
    for name in names:
        out.write(idna.encode(name.strip()).decode() + suffix + "\n")
