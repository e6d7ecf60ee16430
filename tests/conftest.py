"""Which tests run in one process under ``pytest -n``: those of a file, and of a chapter whose derivation takes long.

A process derives a theory once and keeps it, and the fixtures of a file. Tests dealt out one by one would have every
process derive, simulate and compile the same.
"""

from typing import Any

import pytest

#: A part of the names of a chapter's tests, and the chapter.
CHAPTERS = {
    "truncat": "truncation",
    "numerics.stream": "truncation",
    "unconstrained": "unconstrained features",
    "collapse": "unconstrained features",
}


def together(nodeid: str) -> str:
    """What a test shares a process with."""
    file = nodeid.split("::", 1)[0]
    return next((chapter for part, chapter in CHAPTERS.items() if part in nodeid), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal out whole files and chapters, those with the most tests first, where no other way is asked for."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByChapter(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid)

    return ByChapter(config, log)
