"""The daemon: owns the lane, keeps engine and audio processes running, answers OSC. No audio passes through it.

::

    audio process ──┐                     ┌── engine process
    (callback)      ├── shared memory ────┤   (inference)
    or DAW plugin ──┴──── the lane ───────┘
                              ▲ faders, statistics, events
                           daemon ◄── OSC, terminal

It may be as busy as it likes: the other two share nothing with it but memory. When it dies they end too and remove the
memory; when one of them dies it is started again.
"""

import math
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from streaming.errors import AudioError, RequestError
from streaming.lane import EventKind, Lane
from streaming.process import Listeners
from streaming.queries import outputs_for
from streaming.separator import model_latency

from .audio_supervisor import AudioProcess, Event
from .config import Audio, Config
from .engine_supervisor import EngineSupervisor
from .heard_flags import HeardFlags
from .jobs.jobs import Jobs
from .live_markers import LiveMarkers
from .live_queries import LiveQueries
from .no_audio import NoAudio
from .osc_client import NoAnswerError, OscClient
from .osc_server import OscServer, PortInUseError
from .plugins import Plugins
from .registry import AUTO, find_model, find_query_model, peek_card
from .remote import Remote
from .session_audio import block_of, lane_block, session_rate_of, source_of
from .transport import Playhead, Transport

TICK_S = 0.05
EVENTS_S = 0.003
"""How often the engine's events are looked for while it listens for chops: what is late there is late everywhere."""
LEVELS_EVERY_S = 0.1
STATISTICS_EVERY_S = 1.0
PASS_THROUGH = "pass-through"
"""As a model's name: the windows without a network, for null tests."""
NO_CHOPS = "off"
"""As the name of a model for chops: do not listen for any."""
LIVE_CHOPPER = "chopper-live"
"""The model that is taken when chops are asked for later and the settings name none."""
NO_FLAGS = "off"
LIVE_FLAGGER = "flagger"
"""The same for flags."""
PLUGIN_RATE = 48000
"""Of the lane that stands in while no plugin is there."""
PASS_THROUGH_OUTPUTS = ("through", "other")
SWITCH_INTERVAL_S = 0.0005
"""How long a thread of the daemon may hold the interpreter while another waits (Python's own default is 5 ms): an OSC
command must not wait for a table to be drawn."""
NOTICES_MAX = 100


class Notice(NamedTuple):
    """Something that happened to engine or audio, for the terminal and for subscribers."""

    source: str
    state: str
    text: str


class HeardChop(NamedTuple):
    """A chop in what is being played, at a position in the lane's input time."""

    position: int
    score: float
    kind: str


class Daemon:
    """One session: ``start``, then ``run`` until it ends, then ``stop``. A context manager does first and last."""

    audio: AudioProcess | NoAudio
    plugins: Plugins
    server: OscServer
    _lane: Lane
    _engine: EngineSupervisor

    def __init__(self, config: Config) -> None:
        self.config = config
        self.model_name = config.model
        self.chops_heard = 0
        self.last_chop: HeardChop | None = None
        self.flags = HeardFlags(self)
        self.markers = LiveMarkers(self)
        self.queries = LiveQueries(self)
        self._transports: dict[str, Transport] = {}
        self.notices: deque[Notice] = deque(maxlen=NOTICES_MAX)
        self._noticed = 0
        self.audio_state = "starting"
        self.block = block_of(config.audio)
        self.remote = Remote(self)
        self.jobs = Jobs()
        self._noticing = threading.Lock()
        self._cleanup = ExitStack()
        self._quit = threading.Event()
        self._ended = threading.Event()
        self._next_levels = self._next_statistics = 0.0

    def start(self) -> None:
        """Start everything and wait until it is ready.

        Raises:
            SidechopError: the port is taken, or the model or the audio cannot be opened. Nothing is left running.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        config, osc = self.config, self.config.osc
        # The port first: a second daemon ends here, before it has cost anything.
        self.server = listen(osc.listen, osc.port, osc.token, self.remote)
        model, chops = session_model(config), chops_path(config.chops)
        flags = flags_path(config.flags)
        only_plugins = config.audio.plugin
        rate = PLUGIN_RATE if only_plugins else session_rate_of(config.audio)
        self._lane = make_lane(config.audio, rate, model, 0.0 if only_plugins else config.history_s)
        self._cleanup.callback(self._lane.unlink)
        self._cleanup.callback(self._lane.close)
        self._cleanup.callback(self.jobs.close)
        self._lane.header["chops_on"] = chops is not None
        self._lane.header["flags_on"] = flags is not None
        self._lane.header["flags_threshold"] = config.flags_threshold
        listeners = Listeners(chops, flags, fine_path(flags))
        self._engine = EngineSupervisor(
            self._lane, model, listeners, lambda state, text: self._note("engine", state, text)
        )
        self._cleanup.callback(self._engine.stop)
        self.plugins = Plugins(self._slot, listeners, self._on_plugin, focus_latest=only_plugins)
        self._cleanup.callback(self.plugins.stop)
        self._set_faders()
        self.queries.begin()
        if only_plugins:
            self.audio = NoAudio(self._on_audio)
        else:
            self._engine.start()
            self.audio = AudioProcess(self._lane, source_of(config.audio, rate, config.budget_ms), self._on_audio)
        self._cleanup.callback(self.audio.stop)
        events = threading.Thread(target=self._pass_on_events, name="events", daemon=True)
        self._cleanup.callback(events.join)
        self._cleanup.callback(self._ended.set)
        events.start()
        self.server.start()
        if config.plugin.serve:
            self.plugins.start()
        self._follow_daw()
        self._keep(Notice("osc", "ready", "{}:{}".format(*self.server.address)))
        self.audio.start()

    def run(self, on_tick: Callable[[], None] = lambda: None, seconds: float = math.inf) -> None:
        """Watch over everything until told to stop, the audio is done, or for so long.

        ``on_tick`` is called 20 times a second.

        Raises:
            AudioError: the audio ended for another reason than that it was done.
        """
        end = time.monotonic() + seconds
        while not self._quit.wait(TICK_S) and time.monotonic() < end:
            self._tick()
            on_tick()
            if not self.audio.alive:
                if self.audio_state == "error":
                    raise AudioError(next(n.text for n in reversed(self.notices) if n.state == "error"))
                return

    def stop(self) -> None:
        """End both processes and remove the shared memory. Safe to call twice."""
        if hasattr(self, "server"):
            self.server.close()  # first: its handlers use all the rest
        self._cleanup.close()

    @property
    def lane(self) -> Lane:
        """What requests are about: the session's own lane, or that of the plugin in focus."""
        focused = self.plugins.focused
        return focused.lane if focused else self._lane

    @property
    def engine(self) -> EngineSupervisor:
        """The engine of `lane`."""
        focused = self.plugins.focused
        return focused.engine if focused else self._engine

    def notices_since(self, seen: int) -> tuple[list[Notice], int]:
        """What was noticed after the first ``seen`` (at most the latest 100), and how many there are now."""
        with self._noticing:
            new = self._noticed - seen
            return (list(self.notices)[-new:] if new else []), self._noticed

    def request_stop(self) -> None:
        """Let `run` return. Any thread, and signal handlers."""
        self._quit.set()

    def switch_model(self, name: str) -> None:
        """Run another model without stopping the audio.

        Raises:
            SidechopError: there is no such model, or it does not start; the old one plays on.
        """
        focused = self.plugins.focused
        if focused:
            focused.run_model(name, model_path(name))
        elif self.config.audio.plugin:
            model_path(name)  # it is that of the plugins to come
        else:
            self._engine.switch(model_path(name), self._engine.listeners)
        self.model_name = name
        self.queries.renew()
        time.sleep(2.0 * self.lane.block / self.lane.rate + TICK_S)  # the host sees a new latency at its next block

    @property
    def transport(self) -> Transport:
        """The DAW's, as `lane` hears it: each lane counts samples of its own."""
        lane = self.lane
        if lane.name not in self._transports:
            delay = round(self.config.daw.delay_ms * lane.rate / 1000)
            self._transports.setdefault(lane.name, Transport(lane.rate, delay, self.block))
        return self._transports[lane.name]

    def told_playhead(self, head: Playhead) -> None:
        """The DAW told where its playhead is, just now. Any thread."""
        self.transport.report(int(self.lane.counters["in_written"]), head)

    def listen_for_chops(self, on: bool) -> None:
        """Whether the engine listens for chops. One that was started without a network for it is replaced by one that
        has one, as `switch_model` does.

        Raises:
            SidechopError: the network is not there or does not fit; audio goes on as it was.
        """
        if on and self.engine.listeners.chops is None:
            name = self.config.chops
            chops = chops_path(LIVE_CHOPPER if name == NO_CHOPS else name)
            self.engine.switch(self.engine.model, self.engine.listeners._replace(chops=chops))
        self.lane.header["chops_on"] = on

    @property
    def listens_for_chops(self) -> bool:
        return bool(self.lane.header["chops_on"])

    def listen_for_flags(self, on: bool) -> None:
        """Whether the engine listens for what does not belong, as `listen_for_chops`.

        Raises:
            SidechopError: the network is not there or does not fit; audio goes on as it was.
        """
        if on and self.engine.listeners.flags is None:
            name = self.config.flags
            flags = flags_path(LIVE_FLAGGER if name == NO_FLAGS else name)
            self.engine.switch(self.engine.model, self.engine.listeners._replace(flags=flags, fine=fine_path(flags)))
        self.lane.header["flags_on"] = on

    @property
    def listens_for_flags(self) -> bool:
        return bool(self.lane.header["flags_on"])

    def __enter__(self) -> "Daemon":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _follow_daw(self) -> None:
        daw = self.config.daw
        if daw.follow == "off":
            return
        from .daws.follower import follower_of

        follower = follower_of(daw, self)
        self._cleanup.callback(follower.stop)
        if daw.markers:
            self.markers.keep = follower.keep
        follower.start()

    def _set_faders(self) -> None:
        controls = self._lane.controls
        for stem, fader in self.config.stems.items():
            controls.set_gain_db(stem, fader.gain_db)
            controls.set_mute(stem, fader.mute)
            controls.set_solo(stem, fader.solo)

    def _slot(self, slot: int) -> tuple[str, Path | None]:
        """The model in a slot of the plugin. Raises `SidechopError`: there is none."""
        slots = (self.model_name, *self.config.plugin.slots)
        if slot >= len(slots):
            raise RequestError(f"slot {slot} of the plugin is empty: name its model under [plugin] slots")
        return slots[slot], model_path(slots[slot])

    def _on_plugin(self, state: str, name: str, text: str) -> None:
        self._keep(Notice("plugin", state, f"{name}: {text}"))
        self.server.push("/sidechop/event/plugin", state, name, text)

    def _pass_on_events(self) -> None:
        """A thread of its own: a chop is worth little when it comes late."""
        while not self._ended.wait(EVENTS_S if self.listens_for_chops else TICK_S):
            for event in self.lane.read_events():
                if event.kind == EventKind.CHOP:
                    self.last_chop = HeardChop(event.start, event.score, event.label)
                    self.chops_heard += 1
                    self.server.push("/sidechop/event/chop", event.start, self.lane.rate, event.score, event.label)
                    self.markers.take("chop", event.start, event.start, event.label, event.score)
                elif event.kind == EventKind.FLAG:
                    self.flags.take(event)
                    self.markers.take("flag", event.start, event.end, event.label, event.score)
                elif event.kind == EventKind.STALL:
                    self._note("engine", "stalled", f"{event.value:.0f} hops were dropped, not played late")
                elif event.kind == EventKind.BAD_OUTPUT:
                    self._note("engine", "reset", "the network gave what is not a number")

    def _tick(self) -> None:
        now = time.monotonic()
        self.markers.tell()
        if now >= self._next_levels:
            self._next_levels = now + LEVELS_EVERY_S
            self.server.push("/sidechop/event/levels", *self.remote.levels())
        if now >= self._next_statistics:
            self._next_statistics = now + STATISTICS_EVERY_S
            self.server.push("/sidechop/event/statistics", self.remote.statistics_json())

    def _on_audio(self, event: Event) -> None:
        state = str(event["event"])
        if state != "warning":
            self.audio_state = state
        self.block = int(event.get("block_samples", self.block))
        described = " → ".join(str(event[key]) for key in ("input", "output") if event.get(key))
        self._note("audio", state, str(event.get("text", described)))

    def note_daw(self, state: str, text: str) -> None:
        """What became of the DAW that is followed. Any thread."""
        self._keep(Notice("daw", state, text))

    def _note(self, source: str, state: str, text: str) -> None:
        self._keep(Notice(source, state, text))
        self.server.push(f"/sidechop/event/{source}", state, text)

    def _keep(self, notice: Notice) -> None:
        with self._noticing:  # engine, audio and OSC threads all notice
            self.notices.append(notice)
            self._noticed += 1


def model_path(name: str) -> Path | None:
    """The file of a model by name or path; None for the pass-through. Raises `ModelError`."""
    return None if name == PASS_THROUGH else find_model(name)


def session_model(config: Config) -> Path | None:
    """The model that a session begins with: one that takes queries where there are some and none is named.

    Raises:
        ModelError: there is no such model.
    """
    if config.query and config.model == AUTO:
        return find_query_model(live=True)
    return model_path(config.model)


def chops_path(name: str) -> Path | None:
    """The file of the model that listens for chops; None for none. Raises `ModelError`."""
    return None if name == NO_CHOPS else find_model(name)


def flags_path(name: str) -> Path | None:
    """The file of the model that flags what does not belong; None for none. Raises `ModelError`."""
    return None if name == NO_FLAGS else find_model(name)


def fine_path(flags: Path | None) -> Path | None:
    """Where the user's word is kept that something was fine, for this model. Raises `ModelError`."""
    if flags is None:
        return None
    from .flags.fine import FineStore  # here, because it brings the network's runtime with it

    return FineStore(flags).path


def make_lane(audio: Audio, rate: int, model: Path | None, history_s: float) -> Lane:
    """A lane that knows the model's outputs and latency before there is an engine, so that faders can be set.

    Raises:
        ModelError: the model carries no good card, or does not run at this rate.
        EngineError: there is too little shared memory.
    """
    card = None if model is None else peek_card(model)
    outputs = outputs_for(card)
    latency = 0 if card is None else model_latency(card, rate)
    return Lane.create(rate, audio.channels, lane_block(audio), outputs, latency, history_s=history_s)


def listen(host: str, port: int, token: str | None, remote: Remote) -> OscServer:
    """An OSC server on this port.

    Raises:
        RequestError: the port is taken, and whether by a daemon of ours or by another program.
    """
    try:
        return OscServer(remote.handlers(), host, port, token)
    except PortInUseError:
        ours = _is_sidechop({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)
    if not ours:
        raise RequestError(f"UDP port {port} is taken by another program: choose one with --osc-port")
    raise RequestError(
        f"a Sidechop daemon listens on port {port} already: stop it with 'sidechop osc quit', or choose --osc-port"
    )


def _is_sidechop(host: str, port: int) -> bool:
    with OscClient(host, port, timeout_s=3.0) as client:  # one that still starts answers when it is ready
        try:
            client.request("/sidechop/ping")
        except NoAnswerError:
            return False
        except RequestError:
            return True  # it asks for its token
    return True


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call ``stop`` on Ctrl-C and SIGTERM; a second one then ends the program at once."""

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handle)
