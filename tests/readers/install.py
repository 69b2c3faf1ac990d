"""Make an environment for each library that is too large for ours: python install.py FOLDER."""

import subprocess
import sys
import venv
from pathlib import Path

LARGE = {
    "datumaro": ["datumaro"],
    "fiftyone": ["fiftyone", "pycocotools"],
    "label-studio-sdk": ["label-studio-sdk"],
    "labelme": ["labelme"],
}

if __name__ == "__main__":
    for name, packages in LARGE.items():
        place = Path(sys.argv[1]).expanduser() / name
        venv.create(place, with_pip=True)
        pip = [place / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *packages], check=True)
