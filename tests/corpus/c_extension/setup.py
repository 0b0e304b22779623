from setuptools import Extension, setup

setup(
    name="native",
    version="1",
    packages=["native"],
    ext_modules=[Extension("native._fast", ["native/fast.c"])],
    install_requires=["apple"],
)
