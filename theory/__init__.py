if __name__ != "hermiton.theory":
    raise ImportError("import hermiton.theory; the folder theory/ is not a top-level package")
