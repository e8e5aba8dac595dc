"""Starting a Python process of our own.

Never from the working folder (``-P``): a folder there that is called ``bridge`` or ``streaming`` would be taken for
ours. Our own root goes into the path instead, for where the project is not installed.
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
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen([sys.executable, "-P", *arguments], text=True, env=environment, **popen)
