"""Checked equations: exact, symbolic, without arrays.

A setting is derived into statements (`derivation`) that end in systems (`systems`); `gaussian` is the calculus under
all of it. Nothing here knows numbers in floating point, files or chance.
"""

if __name__ != "hermiton.theory":
    raise ImportError("import hermiton.theory; the folder theory/ is not a top-level package")
