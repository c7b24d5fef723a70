"""Put uv into .uv/ of this folder, with or without the venv module."""

import subprocess
import sys
from pathlib import Path

target = Path(__file__).resolve().parent.parent / ".uv"
pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
made = subprocess.run([sys.executable, "-m", "venv", str(target)], capture_output=True, check=False)
if made.returncode == 0:
    pip[0] = str(target / "bin" / "python")
    sys.exit(subprocess.run([*pip, "uv"], check=False).returncode)
sys.exit(subprocess.run([*pip, "--target", str(target), "uv"], check=False).returncode)
