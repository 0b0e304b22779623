"""The newest of pyenv's versions that matches the request. None does: no opinion."""
import os
import re
import sys

sys.path.insert(0, os.environ["PROTOPRIMER_REF_ROOT"])  # where proto_prime.py stands
from proto_prime import satisfies  # noqa: E402

request = sys.argv[1]  # such as ">=3.8"
pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
versions = os.path.join(pyenv, "versions")
found = [name for name in (os.listdir(versions) if os.path.isdir(versions) else []) if re.match(r"[\d.]+$", name)]
found.sort(key=lambda name: [int(part) for part in name.split(".")], reverse=True)
for name in found:
    if satisfies(request, name):
        print(os.path.join(versions, name))  # an environment directory is as good as its python
        break
