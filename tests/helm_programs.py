"""Real helm programs for tests: `make helm` fetches them, `.ci/run` does it itself."""

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / ".cache/helm"
HELM_3, HELM_4 = "3.17.2", "4.3.1"


def helm_folder(version: str) -> Path:
    """Return the folder with a helm program; without it the test skips here and fails in CI."""
    folder = FOLDER / version
    if not (folder / "helm").is_file():
        reason = f"no helm {version} in {FOLDER}: run `make helm`"
        if os.environ.get("ACRFLEET_ACCEPTANCE") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
