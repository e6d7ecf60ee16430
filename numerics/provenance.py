"""Where a number comes from: versions, machine, date. Every result carries it."""

import platform
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["provenance"]

_PACKAGES = ("hermiton", "numpy", "scipy", "sympy", "numba")


def provenance(**extra: object) -> dict[str, str]:
    """Record what produced a result.

    Parameters
    ----------
    **extra
        Further entries, for example ``seed=0`` or ``kernel="3f2a..."``; written as text.

    Returns
    -------
    dict of str to str
        Versions of hermiton, python, numpy, scipy, sympy and numba (read from their metadata: nothing is imported), the
        processor, the platform, and the date in UTC to the second.

    Examples
    --------
    >>> record = provenance(seed=7)
    >>> record["seed"], record["hermiton"] == __import__("hermiton").__version__
    ('7', True)
    """
    record = {name: _version(name) for name in _PACKAGES}
    record["python"] = platform.python_version()
    record["cpu"] = _cpu()
    record["platform"] = platform.platform(terse=True)
    record["date"] = datetime.now(UTC).isoformat(timespec="seconds")
    record.update({name: str(value) for name, value in extra.items()})
    return record


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=1)
def _cpu() -> str:
    """The processor's model name; Python's own answer is empty on most Linux systems."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()
