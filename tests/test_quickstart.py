"""The notebook in `examples/` runs from its first cell to its last."""

import json

import pytest
from conftest import ROOT, TINY

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
SMALL = {
  **TINY,
  "dataset.synthetic.identities": 3,
  "dataset.synthetic.clips_per_identity": 10,
  "dataset.synthetic.face_pixels": 32,
}


@pytest.mark.extra
def test_the_notebook_trains_samples_and_shows_faces(tmp_path, monkeypatch):
  nbclient = pytest.importorskip("nbclient")
  nbformat = pytest.importorskip("nbformat")
  config = SMALL | {"dataset.data_dir": str(tmp_path / "data")}
  monkeypatch.setenv("QUICKSTART_STEPS", "5")
  monkeypatch.setenv("QUICKSTART_WORKDIR", str(tmp_path / "run"))
  monkeypatch.setenv("QUICKSTART_CONFIG", json.dumps(config))
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  assert not any(cell.get("outputs") for cell in notebook.cells)  # none are committed
  here = {"metadata": {"path": str(NOTEBOOK.parent)}}
  nbclient.NotebookClient(notebook, timeout=300, resources=here).execute()
  outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
  kinds = [kind for output in outputs for kind in output.get("data", {})]
  assert kinds.count("image/png") == 2  # sampled faces, and the last grid
  assert any("audio" in output.get("data", {}).get("text/html", "") for output in outputs)
