from setuptools import setup

setup(name="both", version="1", py_modules=["both"], install_requires=["apple>=1,<2"])
