"""All fault detectors side by side, on one grid of hops.

Where sound is cut off there is a click: one that lies at the edge of a dropout or of a silence is that, and not told.
"""

from collections.abc import Iterator, Sequence

from ..flags import Flag
from .bandlimit import BandLimit
from .clicks import Clicks
from .clipping import Clipping
from .dc_offset import DcOffset
from .dc_steps import DcSteps
from .detector import THRESHOLD, Detector, Strengths
from .dropouts import Dropouts
from .hops import Block, Hops
from .howl import Howl
from .hum import Hum
from .image import Image
from .phase import Phase
from .rumble import Rumble
from .silence import Silence
from .tape_stop import TapeStop
from .tuning import Tuning

DETECTORS: tuple[type[Detector], ...] = (Clipping, Dropouts, Clicks, Hum, DcOffset, Phase, Silence, BandLimit)
HINTS: tuple[type[Detector], ...] = (Rumble, Tuning, Image, TapeStop, Howl)
"""They make strengths known and tell no flags; live, where strengths count for nothing, nobody listens to them."""
FILES: tuple[type[Detector], ...] = (DcSteps,)
"""They need the whole of a fault, and have no curve."""
GAPS = (Dropouts.KIND, Silence.KIND)
TOUCH_S = 0.003
REMEMBERED = 8
"""Of the latest gaps."""
KINDS = tuple(detector.KIND for detector in DETECTORS)
HEARD = (*KINDS, *(hint.KIND for hint in HINTS))


class Faults:
    """``prepare`` before ``process``. Flags come in the order in which they are known, those of a call by place.

    Args:
        threshold: strengths from here on are faults, 0 … 1.
        live: tell passages that last before they are over.
        kinds: listen for these alone.
    """

    def __init__(self, threshold: float = THRESHOLD, live: bool = False, kinds: Sequence[str] = HEARD) -> None:
        every = DETECTORS if live else (*DETECTORS, *HINTS, *FILES)
        self.detectors = [detector(threshold, live) for detector in every if detector.KIND in kinds]

    def prepare(self, rate: int, channels: int) -> None:
        """Get ready for blocks ``(channels, n)``. Raises `AudioError` where rate or channels are out of range."""
        self._hops = Hops(rate, channels)
        for detector in self.detectors:
            detector.prepare(rate, channels)
        self.latency_samples = max(detector.latency_samples for detector in self.detectors)
        """From the end of a fault until it is told, at the latest, blocks not counted."""
        self._touch = round(TOUCH_S * rate)
        self._next: int | None = None
        self._clear()

    def _clear(self) -> None:
        self._clicks: list[Flag] = []
        """Those that wait until it is known what they belong to."""
        self._gaps: list[Flag] = []

    @property
    def threshold(self) -> float:
        return self.detectors[0].threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        for detector in self.detectors:
            detector.threshold = value

    @property
    def strengths(self) -> dict[str, Strengths]:
        """By kind, of the hops that the last call made known."""
        return {detector.KIND: detector.strengths for detector in self.detectors if detector.CURVE}

    def reset(self) -> None:
        """Forget all that was heard."""
        self._hops.reset()
        self._clear()
        self._next = None
        for detector in self.detectors:
            detector.reset()

    def process(self, block: Block, position: int) -> list[Flag]:
        """The flags that a block ``(channels, n)`` completes. ``position`` is that of its first sample; where it does
        not follow on the last block's end, listening begins anew."""
        return [flag for flags in self.steps(block, position) for flag in flags]

    def steps(self, block: Block, position: int) -> Iterator[list[Flag]]:
        """`process` in pieces, a detector each, for who has little time at once; the last piece gives the flags. All
        of them must be taken before the next block."""
        flags: list[Flag] = []
        if position != self._next:
            flags = self.flush() if self._next is not None else []
            for detector in self.detectors:
                detector.begin(position)
        self._next = position + block.shape[1]
        batches = self._hops.process(block)
        if batches:
            for detector in self.detectors:
                flags += detector.process_hops(batches)
                yield []
        yield self._without_edges(flags, min((d.settled for d in self.detectors if d.KIND in GAPS), default=None))

    def flush(self) -> list[Flag]:
        """What is still open at the end of the audio. Then `reset`."""
        flags = [flag for detector in self.detectors for flag in detector.flush()]
        flags = self._without_edges(flags, None)
        self._hops.reset()
        self._clear()
        self._next = None
        return flags

    def _without_edges(self, flags: list[Flag], settled: int | None) -> list[Flag]:
        """Sorted, without the clicks at the edges of gaps; clicks not before ``settled`` wait."""
        self._gaps = [*self._gaps, *(flag for flag in flags if flag.kind in GAPS)][-REMEMBERED:]
        self._clicks += [flag for flag in flags if flag.kind == Clicks.KIND]
        told = [flag for flag in flags if flag.kind != Clicks.KIND]
        waiting: list[Flag] = []
        for click in self._clicks:
            first, last = click.start - self._touch, click.end + self._touch
            if any(gap.start < last and gap.end > first for gap in self._gaps):
                continue
            (waiting if settled is not None and last >= settled else told).append(click)
        self._clicks = waiting
        return sorted(told)
