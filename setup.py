"""The folder map: theory/, numerics/ and verification/ import as hermiton.theory etc. The rest is in pyproject.toml."""

from setuptools import find_packages, setup

LAYERS = ("theory", "numerics", "verification")
found = find_packages(include=[pattern for layer in LAYERS for pattern in (layer, f"{layer}.*")])
setup(
    packages=["hermiton", *(f"hermiton.{package}" for package in found)],
    package_dir={"hermiton": "hermiton", **{f"hermiton.{layer}": layer for layer in LAYERS}},
)
