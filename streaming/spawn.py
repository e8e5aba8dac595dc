"""Starting a Python process of our own.

Never from the working folder (``-P``): a folder there that is called ``bridge`` or ``streaming`` would be taken for
ours. Our own root goes into the path instead, for where the project is not installed. numpy's products take one thread
unless the user says otherwise: others would spin beside the audio for products that are small.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent


def spawn(*arguments: str, **popen: Any) -> "subprocess.Popen[str]":
    """``python ARGUMENTS`` as `subprocess.Popen`, in text mode; ``popen`` are its keywords."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen([sys.executable, "-P", *arguments], text=True, env=environment, **popen)
