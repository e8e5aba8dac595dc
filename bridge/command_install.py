"""``sidechop install``: puts what runs inside a DAW where the DAW looks for it."""

import typer

from .installs.ableton import ableton

install = typer.Typer(help="Put the plugin and the scripts where your DAW looks for them.", no_args_is_help=True)
install.command()(ableton)


@install.callback()
def _group() -> None:
    """Keeps the targets words of their own while there is one."""
