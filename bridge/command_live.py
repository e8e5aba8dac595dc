"""``sidechop live``: the daemon in the foreground."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def live(
    input: Annotated[str | None, typer.Option(help="Input device, by part of its name.")] = None,
    output: Annotated[str | None, typer.Option(help="Output device, by part of its name.")] = None,
    file: Annotated[Path | None, typer.Option(help="Play this file instead of a device.")] = None,
    folder: Annotated[Path | None, typer.Option("--folder", "-o", help="Write the file's mix and stems here.")] = None,
    paced: Annotated[bool | None, typer.Option("--paced/--unpaced", help="As it sounds, or faster.")] = None,
    loop: Annotated[bool | None, typer.Option("--loop", help="Play the file over and over.")] = None,
    reastream: Annotated[bool, typer.Option("--reastream", help="Take ReaStream packets instead of a device.")] = False,
    identifier: Annotated[str, typer.Option(help="Of the ReaStream packets.")] = "default",
    plugin: Annotated[bool, typer.Option("--plugin", help="No audio but that of the DAW's plugins.")] = False,
    model: Annotated[str | None, typer.Option(help="Model by name or path; pass-through for none.")] = None,
    query: Annotated[
        list[str] | None, typer.Option(help="What to listen for: 'a dog barking', or a preset's name; at most two.")
    ] = None,
    negative: Annotated[list[str] | None, typer.Option("--not", help="What it is not: 'the crowd'.")] = None,
    chops: Annotated[str | None, typer.Option(help="Model that marks chops in what is played; off for none.")] = None,
    flags: Annotated[str | None, typer.Option(help="Model that flags what does not belong; off for none.")] = None,
    flags_threshold: Annotated[
        float | None, typer.Option(min=0, max=0.5, help="Flag what is as odd as this share of good audio; 0: usual.")
    ] = None,
    history_s: Annotated[
        float | None, typer.Option(min=0, max=3600, help="Seconds of what was played that can be chopped.")
    ] = None,
    block: Annotated[int | None, typer.Option(min=0, max=8192, help="Frames of a block; 0: the driver's.")] = None,
    rate: Annotated[int | None, typer.Option(help="Sample rate in Hz.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, max=2, help="1 or 2.")] = None,
    budget_ms: Annotated[float | None, typer.Option(min=0, help="Time for the engine, added to the latency.")] = None,
    daw: Annotated[
        Literal["off", "ardour", "ableton-osc", "reaper"] | None,
        typer.Option(help="Follow this DAW's playhead; chops and flags become its markers when it stops."),
    ] = None,
    osc_port: Annotated[int | None, typer.Option(min=0, max=65535, help="UDP port; 0 takes a free one.")] = None,
    listen: Annotated[str | None, typer.Option(help="Address to listen on; any but loopback needs --token.")] = None,
    token: Annotated[str | None, typer.Option(help="What OSC clients must show first.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings in TOML; flags win over it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
) -> None:
    """Separate live: from devices, a file or ReaStream, with faders on OSC. Ctrl-C ends it."""
    from .config import read_session
    from .daemon import Daemon, stop_on_signals
    from .live_view import LiveView

    given = {
        "audio.input": input, "audio.output": output, "audio.file": file, "audio.folder": folder, "audio.paced": paced,
        "audio.loop": loop, "audio.reastream": identifier if reastream else None, "audio.plugin": plugin or None,
        "audio.block": block, "audio.rate": rate, "audio.channels": channels,
        "model": model, "query": query, "not": negative,
        "chops": chops, "flags": flags, "flags_threshold": flags_threshold,
        "history_s": history_s, "budget_ms": budget_ms,
        "daw.follow": daw, "osc.port": osc_port, "osc.listen": listen, "osc.token": token,
    }  # fmt: skip
    daemon = Daemon(read_session(config, given))
    stop_on_signals(daemon.request_stop)
    with daemon, LiveView(daemon, as_json) as view:
        daemon.run(view.tick)
