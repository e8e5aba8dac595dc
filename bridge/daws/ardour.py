"""Ardour over its own OSC (*Preferences › Control Surfaces › Open Sound Control*): markers and the playhead.

``/add_marker`` puts a marker at the playhead, so each one is: locate, wait until it is there, add. That is exact to
the sample. Ardour tells no list of markers and adds the same one twice; what a saved session holds already is read
from its file (`ardour_session`). Its sample rate is not told either: it follows from a position that is told both in
samples and in milliseconds.

https://manual.ardour.org/using-control-surfaces/controlling-ardour-with-osc/
"""

import contextlib
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from ..transport import Playhead
from .daw import DawError, Marker
from .osc_link import Message, OscLink

PORT = 3819
FEEDBACK = 16 | 1024 | 2048
"""Ardour's bits for: transport and session, the position in samples, and in minutes and seconds."""
FEEDBACK_S = 1.0
"""Ardour tells where it is every tenth of a second; a busy one takes longer."""
TELLING_SAMPLES = 4800
"""From here on a millisecond tells the rates from each other."""
LOCATE_S = 5.0
LOOK_S = 0.001
FAR_SAMPLES = 48000 * 3600
"""Where the rate is looked for, if the playhead stands too near the beginning: a millisecond is nothing there."""
NEAR_SAMPLES = 48000
RATES = (22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
SAMPLES_MAX = 2**31 - 1
"""``/locate`` takes an int32: 12 hours at 48 kHz."""
SILENT = (
    "Ardour does not tell its position: in the settings of OSC let it answer to the port that asks "
    "(Port Mode: Auto), or name the session file"
)


class Ardour:
    """Raises `DawError`: no Ardour there.

    Args:
        rate: of the session (Hz), if it is known.
        known: markers that are there already, as samples and names: they are not added again.
    """

    name = "Ardour"

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = PORT,
        rate: int | None = None,
        known: Iterable[tuple[int, str]] = (),
    ) -> None:
        self._known = set(known)
        self._rate = rate
        self._samples: int | None = None
        self._time_s: float | None = None
        self._told = False
        self._link = OscLink(self.name, host, port, hear=self._hear)
        try:
            self.sample()
        except DawError:
            self.close()
            raise

    @property
    def rate(self) -> int | None:
        """The session's sample rate; None until Ardour has told a place that it follows from."""
        return self._rate

    def sample(self) -> int:
        """Where the playhead is. Raises `DawError`."""
        return int(self._link.number("/transport_frame"))

    def playhead(self) -> Playhead:
        """Raises `DawError`."""
        speed = float(self._link.number("/transport_speed"))
        sample = self.sample()
        if self._rate is None and sample >= TELLING_SAMPLES:
            self._listen_for_rate()
            if self._rate is None:
                raise DawError(SILENT)
            sample = self.sample()
        rate = self._rate or 48000
        unsure_s = 0.0 if self._rate else sample / min(RATES)  # of the first tenth of a second
        return Playhead(sample / rate, speed != 0, speed=speed or 1.0, error_s=unsure_s)

    def takes(self, marker: Marker) -> bool:
        """Seconds, from the beginning to where ``/locate`` reaches."""
        return marker.unit == "seconds" and 0 <= marker.position * (self._rate or max(RATES)) <= SAMPLES_MAX

    def place(self, markers: Sequence[Marker]) -> int:
        """As `Daw`. It takes about 20 ms a marker."""
        if self.playhead().rolling:
            raise DawError("Ardour is rolling, and a marker needs its playhead: stop it first")
        if wrong := [marker for marker in markers if not self.takes(marker)]:
            where = f"{wrong[0].position:g} {wrong[0].unit}"
            raise DawError(f"Ardour has no place at {where} for {wrong[0].name!r}: it takes seconds from 0 on")
        before = self.sample()
        new = 0
        try:
            rate = self._rate or self._find_rate()
            for marker in markers:
                sample = round(marker.position * rate)
                if (sample, marker.name) in self._known:
                    continue
                self._locate(sample)
                self._link.send("/add_marker", marker.name)
                self._known.add((sample, marker.name))
                new += 1
            self.sample()  # answered in turn, so after the last marker
        finally:
            with contextlib.suppress(DawError):
                self._locate(before)
        return new

    def save(self) -> None:
        """Have Ardour save its session; it is on its way when this returns. Raises `DawError`."""
        self._link.send("/save_state")
        self.sample()

    def close(self) -> None:
        """Ask for no more feedback: Ardour would go on sending it to nobody."""
        if self._told:
            with contextlib.suppress(DawError):
                self._link.send("/set_surface", 0, 0, 0, 0)
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _locate(self, sample: int) -> None:
        """Move the playhead there and see it there: a marker that is added meanwhile would lie on the way."""
        self._link.send("/locate", sample, 0)
        end = time.monotonic() + LOCATE_S
        while self.sample() != sample:
            if time.monotonic() > end:
                raise DawError(f"Ardour did not locate to sample {sample} within {LOCATE_S:g} s")
            time.sleep(LOOK_S)

    def _find_rate(self) -> int:
        if self._samples is None or self._samples < NEAR_SAMPLES:
            self._subscribe()
            self._locate(FAR_SAMPLES)
            self._listen_for_rate()
        if self._rate is None:
            raise DawError(SILENT)
        return self._rate

    def _subscribe(self) -> None:
        if not self._told:
            self._link.send("/set_surface", 0, 0, FEEDBACK, 0)
            self._told = True

    def _listen_for_rate(self) -> None:
        self._subscribe()
        end = time.monotonic() + FEEDBACK_S
        while self._rate is None and time.monotonic() < end:
            self._link.listen(0.02)

    def _hear(self, message: Message) -> None:
        """Positions come as strings: samples right after the time."""
        address, arguments = message
        with contextlib.suppress(ValueError, IndexError, AttributeError):
            if address == "/position/time":
                hours, minutes, seconds = arguments[0].split(":")
                self._time_s = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            elif address == "/position/samples":
                self._samples = int(arguments[0])
                self._rate = self._rate or rate_of(self._samples, self._time_s)


def rate_of(samples: int, time_s: float | None) -> int | None:
    """The rate at which so many samples last ``time_s``, which was cut to milliseconds; None where two would do."""
    if time_s is None:
        return None
    fitting = [rate for rate in RATES if time_s - 1e-4 <= samples / rate < time_s + 0.0011]
    return fitting[0] if len(fitting) == 1 else None
