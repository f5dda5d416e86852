"""examples/notebook.ipynb, run from its first cell to its last."""

import nbformat
from nbclient import NotebookClient

from conftest import ROOT, served


def test_the_notebook_runs(tmp_path, monkeypatch):
    notebook = nbformat.read(ROOT / "examples/notebook.ipynb", as_version=4)
    with served(tmp_path / "study", "--allow-path", ROOT) as uri:
        monkeypatch.setenv("VOXQL_URI", uri)
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": ROOT}}).execute()
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in data for data in shown) == 4
    assert sum("text/html" in data for data in shown) == 4
