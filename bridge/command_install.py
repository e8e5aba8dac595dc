"""``sidechop install``: puts what runs inside a DAW where the DAW looks for it."""

import typer

from .installs.ableton import ableton
from .installs.ardour import ardour
from .installs.plugin import plugin
from .installs.reaper import reaper

install = typer.Typer(help="Put the plugin and the scripts where your DAW looks for them.", no_args_is_help=True)
for target in (plugin, reaper, ableton, ardour):
    install.command()(target)
