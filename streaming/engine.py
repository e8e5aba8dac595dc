"""The engine: blocks of any size in, the faders' mix and every stem out, exactly ``latency_samples`` later.

One lifecycle everywhere: ``prepare -> process ... -> flush -> reset``. Files and tests drive it directly; the engine
process drives its inner half, `HopEngine`, hop by hop, because there the blocks are the host's business.

::

    block ─► ring ─► hops ─► HopProcessor ─► stems ──┐
                       └───► delay ────────► mix ────┼─► StemMixer ─► out ring ─► block
                                                     └─► residual = mix - sum of stems
"""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import AudioError
from .mixer import OUTPUTS_MAX, Controls, StemMixer
from .queries import Queries, outputs_for
from .ring import Ring
from .separator import HopProcessor, open_model, open_processor
from .session import OnnxModel
from .statistics import HopStatistics

MAX_BLOCK = 8192
BATCH_HOPS = 32
"""Hops a call of the processor is given at most: enough to spread numpy's overhead, small enough for the cache."""


class HopEngine:
    """Hops of the mix in, hops of (mix, stems) out: processor, residual, delayed dry and mixer."""

    def __init__(
        self, processor: HopProcessor, rate: int, channels: int, controls: Controls, statistics: HopStatistics
    ) -> None:
        stems = len(processor.stems)
        most = processor.max_hops * processor.hop_samples
        self.hop_samples = processor.hop_samples
        self.delay_samples = processor.delay_samples
        self.max_hops = processor.max_hops
        self.outputs = outputs_of(processor)
        self._processor = processor
        self.statistics = statistics
        self._residual = processor.residual is not None
        self._mixer = StemMixer(controls, stems, self._residual, rate, channels, most)
        self._dry_ring = Ring((channels,), self.delay_samples + most)
        self._clean: NDArray[np.float32] = np.zeros((channels, most), np.float32)
        self._dry: NDArray[np.float32] = np.zeros((channels, most), np.float32)
        self._out: NDArray[np.float32] = np.zeros((1 + len(self.outputs), channels, most), np.float32)
        self.reset()

    def reset(self) -> None:
        self._processor.reset()
        self._dry_ring.clear(zeros=self.delay_samples)
        self._mixer.reset()

    def process_hops(self, hops: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(channels, T * H)`` to a view ``(1 + outputs, channels, T * H)``: the faders' mix, then every stem.

        It lags the input by ``delay_samples``. NaN and infinity count as silence: one such sample would otherwise
        stay in a recurrent network's state for good.
        """
        started = time.perf_counter_ns()
        n = hops.shape[1]
        if not np.isfinite(hops).all():
            bad = ~np.isfinite(hops)
            self.statistics.block["bad_samples"] += int(bad.sum())
            clean = self._clean[:, :n]
            np.copyto(clean, hops)
            clean[bad] = 0.0
            hops = clean
        dry, out = self._dry[:, :n], self._out[:, :, :n]
        self._dry_ring.write(hops)
        self._dry_ring.read(dry)
        stems = self._processor.process_hops(hops)
        np.copyto(out[1 : 1 + len(stems)], stems)
        if self._residual:
            np.copyto(out[-1], dry)
            for stem in stems:
                out[-1] -= stem
        self._mixer.mix(dry, stems, out[0])
        self.statistics.record(time.perf_counter_ns() - started, n // self.hop_samples)
        return out


def outputs_of(processor: HopProcessor) -> tuple[str, ...]:
    """Names of what an engine gives: the stems, the residual last."""
    return (*processor.stems, processor.residual) if processor.residual else processor.stems


class Engine:
    """A synchronous engine for one model; None for the pass-through. Not thread-safe.

    ``queries`` is what a query model is asked for, at any time.
    """

    def __init__(self, model: Path | str | OnnxModel | None, threads: int = 1, queries: Queries | None = None) -> None:
        self._model = model if isinstance(model, OnnxModel) else open_model(model, threads)
        card = self.card = self._model.card if self._model else None
        self.queries = queries or Queries()
        self.outputs: tuple[str, ...] = outputs_for(card, self.queries)
        if len(self.outputs) > OUTPUTS_MAX:
            raise AudioError(f"{len(self.outputs)} stems are more than the {OUTPUTS_MAX} that can be mixed")
        self.controls = Controls(self.outputs)
        self.hop_times = HopStatistics()
        self.latency_samples = 0

    def prepare(self, rate: int, block: int, channels: int) -> None:
        """Allocate for a session at ``rate`` Hz with blocks of up to ``block`` frames.

        Raises:
            AudioError: block or channels out of range.
            ModelError: the model does not run at this rate.
        """
        if not 1 <= block <= MAX_BLOCK:
            raise AudioError(f"block of {block} frames; the engine takes 1 to {MAX_BLOCK}")
        if channels not in (1, 2):
            raise AudioError(f"{channels} channels; the engine takes mono or stereo")
        processor = open_processor(self._model, rate, channels, BATCH_HOPS, self.queries)
        self._hops = HopEngine(processor, rate, channels, self.controls, self.hop_times)
        hop = self._hops.hop_samples
        self.latency_samples = self._hops.delay_samples + hop
        self._block, self._channels = block, channels
        self._in_ring = Ring((channels,), block + hop)
        most = self._hops.max_hops * hop
        self._out_ring = Ring((1 + len(self.outputs), channels), block + 2 * hop)
        self._batch: NDArray[np.float32] = np.zeros((channels, most), np.float32)
        self._out: NDArray[np.float32] = np.zeros((1 + len(self.outputs), channels, block), np.float32)
        self.reset()

    def reset(self) -> None:
        """As after `prepare`: nothing that was heard is remembered. The faders stay where they are."""
        self._hops.reset()
        self._in_ring.clear()
        self._out_ring.clear(zeros=self._hops.hop_samples)

    def process(self, block: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Process ``(channels, n)`` frames, n from 0 to the prepared block.

        Returns:
            mix ``(channels, n)`` and stems ``(outputs, channels, n)``, views that are valid until the next call.

        Raises:
            AudioError: the block does not have the prepared shape.
        """
        if block.ndim != 2 or block.shape[0] != self._channels or block.shape[1] > self._block:
            raise AudioError(
                f"block of shape {block.shape}; prepared for ({self._channels}, up to {self._block}) samples"
            )
        hop = self._hops.hop_samples
        self._in_ring.write(block)
        while (ready := self._in_ring.available // hop) > 0:
            batch = self._batch[:, : min(ready, self._hops.max_hops) * hop]
            self._in_ring.read(batch)
            self._out_ring.write(self._hops.process_hops(batch))
        out = self._out[:, :, : block.shape[1]]
        self._out_ring.read(out)
        return out[0], out[1:]

    def flush(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The last ``latency_samples`` frames, which silence pushes out. Allocates them; not for realtime."""
        tail = np.zeros((1 + len(self.outputs), self._channels, self.latency_samples), np.float32)
        for start in range(0, self.latency_samples, self._block):
            n = min(self._block, self.latency_samples - start)
            mix, stems = self.process(np.zeros((self._channels, n), np.float32))
            tail[0, :, start : start + n] = mix
            tail[1:, :, start : start + n] = stems
        return tail[0], tail[1:]
