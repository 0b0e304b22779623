import os

from setuptools import find_packages, setup

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "VERSION")) as file:
    version = file.read().strip()

setup(
    name="Old.Style",
    version=version,
    packages=find_packages(),
    install_requires=["apple<2", "banana ; python_version >= '3'"],
    extras_require={"test": ["date"], ":os_name == 'nt'": ["elder"]},
    entry_points={"console_scripts": ["old-style = oldstyle:main"]},
)
