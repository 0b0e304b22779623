"""The newest of pyenv's versions that matches the request. None does: no opinion."""
import os
import re
import sys

sys.path.insert(0, os.environ["PROTOPRIMER_REF_ROOT"])  # where proto_prime.py stands
from proto_prime import satisfies  # noqa: E402

request = sys.argv[1]  # such as ">=3.8"
pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
versions = os.path.join(pyenv, "versions")
names = os.listdir(versions) if os.path.isdir(versions) else []
found = [name for name in names if re.match(r"\d+\.\d+\.\d+$", name)]  # leaves out pypy, envs, 3.14-dev
for name in sorted(found, key=lambda name: [int(part) for part in name.split(".")], reverse=True):
    if satisfies(request, name):
        print(os.path.join(versions, name, "bin", "python3"))
        break
