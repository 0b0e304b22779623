"""H3, H4, H13, H15: what a repo, a lock or an index calls a thing decides neither where files go nor what options are."""

import json
import os
import shutil
import sys

import pytest
from conftest import TOP, some_python, uv_program
from serving import serve  # noqa: F401
