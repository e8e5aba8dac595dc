"""Hearing a passage for what does not belong: the learned flagger and the specialised detectors side by side.

::

    file ─► block ─┬─► detectors, at the file's own rate and channels ─► faults, on the sample
                   └─► mono ─► [to a rate whose frames fall on samples] ─► flagger ─► steps

The audio is read once, front to back, and never held: an hour costs the memory of its steps.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streaming.errors import AudioError, RequestError
from streaming.fault_curve import FaultCurve
from streaming.faults.faults import Faults
from streaming.faults.whole_file import settled
from streaming.flagger import Flagger, Step
from streaming.flags import Flag

from ..passage import Passage, Progress
from ..resampler import Resampler, hearing_rate

QUIET = 3e-5
"""A passage whose peak lies below this (-90 dBFS) is silence."""
_KEPT_BYTES = 31 << 20


class Heard(NamedTuple):
    """Positions count from the passage's beginning; those of ``steps``, which are not reviewed yet, at ``step_rate``,
    those of ``faults`` at the passage's own. ``samples`` is how many there really were.

    ``curve`` has the detectors' strengths of each of so many ``moments``, a step apart, the first at 0.
    """

    steps: list[Step]
    step_rate: int
    faults: list[Flag]
    curve: FaultCurve
    moments: int
    samples: int


def listen(passage: Passage, flagger: Flagger, report: Progress) -> Heard:
    """Hear it once, front to back.

    Raises:
        AudioError: it cannot be read, or is silent.
        RequestError: it is too short to be judged.
    """
    _keep_memory()
    network = flagger.network
    rate = hearing_rate(network.features, passage.rate)
    resampler = Resampler(passage.rate, rate, 1) if rate != passage.rate else None
    flagger.prepare(rate, 1)
    detectors = Faults()
    name = passage.source or "the recording"
    try:
        detectors.prepare(passage.rate, passage.channels)
    except AudioError as error:
        raise AudioError(f"{name}: {error}; convert it and try again") from None
    hop = network.step_frames / network.features.frame_rate * passage.rate
    curve = FaultCurve(hop)
    steps: list[Step] = []
    faults: list[Flag] = []

    def gather(found: Sequence[Flag]) -> None:
        faults.extend(found)
        curve.add(detectors.strengths, found)

    samples, heard, peak = 0, 0, 0.0
    for block in passage.blocks():
        gather(detectors.process(block, samples))
        samples += block.shape[1]
        if peak < QUIET:
            peak = float(np.abs(block).max(initial=0))
        mono = block.mean(axis=0, dtype=np.float32)[None]
        if resampler:
            mono = resampler.process(mono)
        steps += flagger.process(mono, heard)
        heard += mono.shape[1]
        report(min(1.0, samples / passage.frames))
    if not samples:
        raise AudioError(f"{name}: no audio can be read from {passage.start / passage.rate:.3f} s on")
    if peak < QUIET:
        raise AudioError(f"{name}: is silent (its peak lies under -90 dBFS): there is nothing to flag")
    if resampler:
        mono = resampler.flush()
        steps += flagger.process(mono, heard)
    steps += flagger.flush()
    gather(detectors.flush())
    if not steps:
        least = network.segment_frames / network.features.frame_rate
        raise RequestError(
            f"{name}: lasts {samples / passage.rate:.2f} s, too short to be judged; give at least {least:.2f} s"
        )
    count = max(1, math.ceil(samples / hop))
    told = settled(faults, curve, count, hop, passage.rate)
    return Heard(steps, rate, told, curve, count, samples)


def _keep_memory() -> None:
    """Have glibc keep what is freed for the next block. Else it gives megabytes back after each, and a tenth of the
    time goes to the kernel's filling of new pages with zeros. It keeps twice the largest piece that was ever freed, if
    that was less than 32 MB (mallopt(3), M_MMAP_THRESHOLD); one that nobody touches costs nothing."""
    np.empty(_KEPT_BYTES, np.uint8)


def at_rate(steps: Sequence[Step], heard: int, rate: int) -> list[Step]:
    """Steps with positions and bands of the source."""
    return [
        step._replace(
            position=round(step.position * rate / heard),
            low_hz=min(step.low_hz, rate / 2),
            high_hz=min(step.high_hz, rate / 2),
        )
        for step in steps
    ]
