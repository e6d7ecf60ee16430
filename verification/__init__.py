if __name__ != "hermiton.verification":
    raise ImportError("import hermiton.verification; the folder verification/ is not a top-level package")
