"""The folder for Hugging Face Spaces fits the project."""

import configparser
import re

from conftest import ROOT


def test_its_requirements_are_those_of_the_project():
  """Spaces install them before the project is there, and Gradio by themselves."""
  setup = configparser.ConfigParser()
  setup.read(ROOT / "setup.cfg")
  lines = setup["options"]["install_requires"].splitlines()
  needed = [line.replace(" ", "") for line in lines if line and not line.startswith("#")]
  assert (ROOT / "space" / "requirements.txt").read_text().split() == needed
  (gradio,) = re.findall(r"gradio >=(\d+)", setup["options.extras_require"]["demo"])
  assert f"sdk_version: {gradio}." in (ROOT / "space" / "README.md").read_text()
