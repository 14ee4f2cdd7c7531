"""The notebook runs from top to bottom on the demo, but for its installation, and is committed without outputs."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

HAS_SERVER = importlib.util.find_spec("uvicorn") is not None and importlib.util.find_spec("fastapi") is not None
ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "bark_infinity.ipynb"


@pytest.fixture(scope="module")
def executed_notebook(tmp_path_factory):
    """The notebook's cells after they have run, and the folder they ran in."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    left_out = {"install"} if HAS_SERVER else {"install", "page", "api", "page-end"}
    notebook.cells = [cell for cell in notebook.cells if cell.id not in left_out]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        patch.setenv("HOME", str(folder))  # no settings of the user's Jupyter
        client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
        client.execute()
    return {cell.id: cell.get("outputs", []) for cell in notebook.cells}, folder


def sound_of(outputs: list) -> bool:
    """True when the output shows an audio player with data."""
    players = [out["data"].get("text/html", "") for out in outputs if "data" in out]
    return any("<audio" in player and "base64," in player and len(player) > 10_000 for player in players)


def test_every_cell_runs_and_the_sound_can_be_played(executed_notebook):
    outputs, folder = executed_notebook
    for name in ("speak", "voices", "long", *(("api",) if HAS_SERVER else ())):
        assert sound_of(outputs[name]), name
    shown = "".join(out.get("text", "") for out in outputs["long"])
    assert "0.00 s" in shown and "we are going for a walk" in shown
    assert {path.name for path in folder.iterdir()} >= {"story.flac", "story.npz", "story.json"}
    assert "dry run" in json.dumps(outputs["command"])  # shown as tables


def test_notebook_has_no_outputs_and_installs_from_the_checkout():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    (install,) = (cell for cell in code if "install" in cell["metadata"].get("tags", ()))
    assert 'SOURCE = ".."' in "".join(install["source"]) and (NOTEBOOK.parent / ".." / "pyproject.toml").is_file()
