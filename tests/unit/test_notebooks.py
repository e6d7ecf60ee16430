"""Stored notebooks: executed, clean, listed. That they still run is checked by ``pytest --nbmake notebooks``."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
INDEX = FOLDER / "00_index.ipynb"
# A path of the machine it was run on: from the root, from a home folder, or from a drive.
ABSOLUTE = re.compile(r"(?<![\w.:/-])(?:/(?:tmp|home|root|usr|var|opt|mnt|work|private|Users|etc)/|~/|[A-Z]:\\)\S*")


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def code(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def outputs(path: Path) -> Iterator[dict[str, Any]]:
    for cell in code(path):
        yield from cell["outputs"]


def texts(path: Path) -> Iterator[str]:
    """All text of the notebook; pictures are left out, whose encoding may spell anything."""
    for cell in read(path)["cells"]:
        yield "".join(cell["source"])
    for output in outputs(path):
        yield "".join(output.get("text", []))
        for kind, content in output.get("data", {}).items():
            if not kind.startswith("image/"):
                yield "".join(content)


def test_there_are_notebooks() -> None:
    assert INDEX in NOTEBOOKS
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_is_stored_as_executed_from_top_to_bottom(path: Path) -> None:
    assert [cell["execution_count"] for cell in code(path)] == list(range(1, len(code(path)) + 1))
    kinds = {kind for output in outputs(path) for kind in output.get("data", {})}
    assert {"image/png", "text/latex"} <= kinds


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_output_is_an_error_a_warning_or_a_progress_bar(path: Path) -> None:
    for output in outputs(path):
        assert output["output_type"] in ("stream", "display_data", "execute_result")
        assert output.get("name", "stdout") == "stdout"
        assert not any(kind.startswith("application/") for kind in output.get("data", {}))
    for text in texts(path):
        assert not re.search(r"Warning\b|Traceback|\x1b|\r", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_path_of_one_machine(path: Path) -> None:
    assert [found for text in texts(path) for found in ABSOLUTE.findall(text)] == []


@pytest.mark.parametrize(
    "text", ["in /tmp/x.png", "'/home/a/b.py'", "~/notes", "(C:\\Users\\a)", "\n/root/.cache/k.py"]
)
def test_a_path_would_be_found(text: str) -> None:
    assert ABSOLUTE.search(text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_its_metadata_name_the_kernel_and_nothing_that_changes_with_the_machine(path: Path) -> None:
    content = read(path)
    assert content["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert not any("execution" in cell["metadata"] for cell in content["cells"])
    keys = [cell["id"] for cell in content["cells"]]
    assert keys == [f"{path.stem.replace('_', '-')}-{n:02d}" for n in range(len(keys))]


def test_the_index_lists_every_notebook_and_no_other() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.ipynb)\)", "\n".join(texts(INDEX))))
    assert listed == {path.name for path in NOTEBOOKS} - {INDEX.name}
