"""Networks, statistics, reports: theory held against simulation.

`networks` simulates from the definition alone, `decide` is the one place where a theory value meets a sample, `verify`
brings them together.
"""

if __name__ != "hermiton.verification":
    raise ImportError("import hermiton.verification; the folder verification/ is not a top-level package")
