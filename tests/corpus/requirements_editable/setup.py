from setuptools import setup

setup(
    name="itself",
    version="1",
    py_modules=["itself"],
    install_requires=["apple"],
    extras_require={"test": ["date"]},
)
