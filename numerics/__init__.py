"""Arrays: systems compiled and solved. Knows the types that theory hands down, never a chapter.

The way of a system through the stages::

    OdeSystem --lower--> Program --print--> source --load--> compiled functions --bind, integrate--> Solution

`codegen.lower` takes the indexed form through its passes to a loop program, `codegen.printers` prints it for Numba (one
trajectory or lanes), NumPy, Python or mpmath, `codegen.cache` keeps the module on disk, `solve` binds values by name.
"""

if __name__ != "hermiton.numerics":
    raise ImportError("import hermiton.numerics; the folder numerics/ is not a top-level package")
