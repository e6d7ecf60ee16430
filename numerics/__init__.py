if __name__ != "hermiton.numerics":
    raise ImportError("import hermiton.numerics; the folder numerics/ is not a top-level package")
