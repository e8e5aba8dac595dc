"""``sidechop install``: puts what runs inside a DAW where the DAW looks for it."""

import typer

from .installs.plugin import plugin

install = typer.Typer(help="Put the plugin and the scripts where your DAW looks for them.", no_args_is_help=True)
install.command()(plugin)
