from setuptools import find_namespace_packages, setup

setup(
    name="acme.two",
    version="2",
    packages=find_namespace_packages(include=["acme.*"]),
    install_requires=["acme-one", "date"],
)
