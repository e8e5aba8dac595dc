"""The command ``sidechop``. Each command lives in ``command_NAME.py`` and imports what is heavy when it runs.

Exit codes: 0 done, 1 failed (one line on standard error), 2 wrong use, 130 interrupted.
"""

import sys
from typing import Annotated

import typer

from streaming.errors import SidechopError

from . import __version__
from .command_bench import bench
from .command_chop import chop
from .command_demo import demo
from .command_devices import devices
from .command_doctor import doctor
from .command_evaluate import evaluate
from .command_export import export
from .command_flag import flag
from .command_install import install
from .command_live import live
from .command_models import models
from .command_osc import osc
from .command_separate import separate
from .command_train import train

EXTRAS = ("torch", "lightning", "onnx", "onnxscript", "scipy", "mir_eval")
"""What the optional group ``train`` of the distribution brings."""

app = typer.Typer(
    name="sidechop",
    help="A neural sidecar for a DAW: it splits what you play, live, and is played by OSC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What holds for every command."""


for command in (demo, live, separate, chop, flag, doctor, bench, devices):
    app.command()(command)
# A negative number is an argument, not an option.
app.command(context_settings={"ignore_unknown_options": True})(osc)
for name, group in (
    ("install", install),
    ("train", train),
    ("evaluate", evaluate),
    ("export", export),
    ("models", models),
):
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; what a user can cause ends as one line on standard error."""
    try:
        app()
    except SidechopError as error:
        sys.exit(f"sidechop: {error}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRAS:
            raise
        sys.exit(f"sidechop: this command needs {error.name}: pip install 'sidechop[train]'")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # a full disk, a folder that may not be written
        if error.strerror is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"sidechop: {where}{error.strerror}")


if __name__ == "__main__":
    main()
