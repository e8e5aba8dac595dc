"""From beat and downbeat curves to beats, bars and phrase starts.

A bar pointer (Krebs, Böck and Widmer, "An efficient state-space model for joint tempo and meter tracking", ISMIR 2015)
moves through bars of three or of four beats; it may change its speed only where a beat falls. So the most likely path
need not be followed from frame to frame: it is enough to score every way in which a beat can follow another, one beat
length earlier::

    rest ───── enter ──▶ 1 ──len──▶ 2 ──len──▶ 3 ──len──▶ 4 ──len──▶ 1 … ─── leave ──▶ rest
                         beats between MIN_BPM and MAX_BPM, each length close to the one before

Scores are log odds against there being no beat. In the rest nothing is scored, so silence, an intro without pulse and
a song that ends before the file have no beats, and a curve without evidence has none at all. The rest costs to leave
for, so that a break of some bars is counted through.

The curves are read at about 50 frames a second; each beat is then put on the peak of the full curve close by. Memory
is that of a few minutes: the path is followed back every `WINDOW` frames, and what lies `LAG` frames back is taken as
settled.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .click import even_beats
from .onsets import Peaks, pick_onsets, strongest, vertex

MIN_BPM, MAX_BPM = 50.0, 215.0
FRAME_RATE = 50.0
WINDOW, LAG = 9000, 3000
"""Three minutes, and one: tempo and metre have long agreed by then."""

NEUTRAL = 0.2
"""A beat curve of this height speaks neither for a beat nor against one."""
_DOWN_NEUTRAL = 0.1
"""The same of a downbeat curve, which between bars is quieter than a beat curve between beats."""
_FLOOR = 0.02
"""No curve is surer than this: one wrong frame must not outweigh a bar."""
_BEAT_SHARE, _DOWN_SHARE = 0.5, 2.0
"""Networks confuse beats with what lies halfway between them, but hardly downbeats with other beats: these say which
of two tempi, one twice the other, is meant, and on which side of the beat a piece stands."""
_DOWN_LEAST, _DOWN_MOST = -2.0, 6.0
_FOUR_BONUS = 1.05
"""Bars of three must explain a piece this much better than bars of four."""
_ENTER, _LEAVE = 10.0, 16.0
"""In nats. A beat that is not there costs 1.25: two good bars begin a chain, some 20 missing beats end it."""
_TEMPO_LAMBDA = 100.0
"""The paper's: how unlikely a change of a beat's length is, by its ratio."""
_ROUNDING = 0.7
"""Cost of a length that differs by one frame, as lengths between two frames must."""
_USUAL_BPM = 115.0
"""Where nothing else speaks, a beat begins near this."""
_REACH = 6
"""Frames by which a length may differ from the one before: 10 to 40 per cent."""
_REFINE_S = 0.04
PHRASE_THRESHOLD = 0.3


class Beats(NamedTuple):
    """Beats in increasing order.

    Attributes:
        frames: frame numbers of the curve (between frames, too).
        positions: of each beat in its bar; 1 is a downbeat.
        tempo: median, in beats a minute; 0 where there is no beat.
    """

    frames: NDArray[np.float64]
    positions: NDArray[np.int64]
    beats_per_bar: int
    tempo: float


NO_BEATS = Beats(np.zeros(0), np.zeros(0, np.int64), 4, 0.0)


def decode_beats(beat: NDArray[np.float32], downbeat: NDArray[np.float32], frame_rate: float) -> Beats:
    """The most likely beats of two curves ``(T,)``; `NO_BEATS` where they show none."""
    beat, downbeat = (np.clip(np.nan_to_num(np.asarray(c, np.float32), nan=0.0), 0, 1) for c in (beat, downbeat))
    pool = max(1, round(frame_rate / FRAME_RATE))
    gains = _gains(_pooled(beat, pool), _pooled(downbeat, pool))
    window = min(WINDOW, max(1, gains.shape[1]))
    four, three = (_BarPointer(metre, frame_rate / pool, window).run(gains) for metre in (4, 3))
    metre, (score, times, positions) = (3, three) if three[0] > _FOUR_BONUS * four[0] else (4, four)
    if score <= 0 or len(times) < 2:
        return NO_BEATS
    frames = _refined(times * pool, beat, frame_rate)
    even = even_beats(gains, frames / pool, positions, metre)
    if even is not None:
        frames, positions = _refined(even[0] * pool, beat, frame_rate), even[1]
    span = min(2 * metre, len(frames) - 1)  # one beat's length is known to a fraction of a frame only
    return Beats(frames, positions, metre, float(60 * frame_rate * span / np.median(frames[span:] - frames[:-span])))


def _pooled(curve: NDArray[np.float32], pool: int) -> NDArray[np.float32]:
    """Every ``pool``-th frame, as high as the curve is within ``pool - 1`` frames of it: no peak falls between two."""
    reach = pool - 1
    padded = np.pad(curve, (reach, reach + pool))
    width = 2 * reach + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)[: len(curve) : pool]
    pooled: NDArray[np.float32] = windows.max(axis=1) if len(windows) else np.zeros(0, np.float32)
    return pooled


def _gains(beat: NDArray[np.float32], downbeat: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a downbeat (0) and any other beat (1) score at each frame, ``(2, T)``."""
    is_beat = _BEAT_SHARE * _log_odds(beat, NEUTRAL)
    is_down = np.clip(_DOWN_SHARE * _log_odds(downbeat, _DOWN_NEUTRAL), _DOWN_LEAST, _DOWN_MOST)
    # that no downbeat is heard is no evidence for a beat
    return np.stack([is_beat + is_down, is_beat - 0.5 * np.maximum(is_down, 0)]).astype(np.float32)


def _log_odds(curve: NDArray[np.float32], neutral: float) -> NDArray[np.float32]:
    sure = np.clip(curve, _FLOOR, 1 - _FLOOR)
    odds: NDArray[np.float32] = np.log(sure / (1 - sure) * ((1 - neutral) / neutral))
    return odds


class _BarPointer:
    """Viterbi over bars of one metre. Rows are frames, the first ``_kept`` of them those before the window.

    ``arrive[t, k, i]`` is the best score of a path with beat k of a bar at frame t, ``lengths[i]`` after the one
    before; ``depart[t, k, i]`` that of going on with ``lengths[i]`` from there; ``rest[t]`` that of no beat about t.
    All of it hangs on what lies at least the shortest length back, so that as many frames are computed at once.
    """

    def __init__(self, metre: int, frame_rate: float, window: int) -> None:
        lengths = self._lengths = np.arange(round(60 * frame_rate / MAX_BPM), round(60 * frame_rate / MIN_BPM) + 1)
        self._metre, self._block, self._kept = metre, int(lengths[0]), int(lengths[-1]) + LAG
        change = np.arange(-_REACH, _REACH + 1)[:, None]
        far = np.maximum(np.abs(change) - 1, 0)
        # [c, i]: from lengths[i] - change[c] to lengths[i]
        self._change = -(_TEMPO_LAMBDA * far / lengths + _ROUNDING * (change != 0)).astype(np.float32)
        octaves = np.log2(60 * frame_rate / lengths / _USUAL_BPM)
        self._enter = (-_ENTER - octaves**2).astype(np.float32)
        shape = (self._kept + window + self._block, metre, len(lengths))
        self._arrive = np.full(shape, -np.inf, np.float32)
        self._depart, self._rest = self._arrive.copy(), np.zeros(shape[0], np.float32)
        self._best = self._arrive[:, 0, 0].copy()
        # where in `_depart`, flat and counted from a block's first row, lies what an arrival hangs on
        row, beat_before = np.arange(self._block)[:, None, None] - lengths, (np.arange(metre)[:, None] - 1) % metre
        self._from = (row * metre + beat_before) * len(lengths) + np.arange(len(lengths))

    def run(self, gains: NDArray[np.float32]) -> tuple[float, NDArray[np.int64], NDArray[np.int64]]:
        """The score of the best path, its beats' frames and their positions in the bar (1 …)."""
        window = len(self._best) - self._kept - self._block
        scored = gains[[0] + [1] * (self._metre - 1)].T  # (T, k)
        path: list[tuple[int, int]] = []
        offset, score, start, end = 0.0, 0.0, 0, len(scored)
        while start < end:
            count = min(window, end - start)
            if start:
                offset += self._move_on(window)
            self._forward(scored[start : start + count])
            score, found = self._back(self._kept + count)
            settled = end if start + count == end else start + count - LAG
            after = path[-1][0] + self._block // 2 if path else -1
            path += [(start + t, k) for t, k in found if after < start + t < settled]
            start += count
        times, beats = np.array(path, np.int64).reshape(-1, 2).T
        return offset + score, times, beats + 1

    def _forward(self, scored: NDArray[np.float32]) -> None:
        """Fill the rows of a window, a block at a time."""
        arrive, depart, rest, best, size = self._arrive, self._depart, self._rest, self._best, len(self._lengths)
        flat, row = depart.reshape(-1), self._metre * size
        # lengths run between fences that no path comes from, so that every change of length is one slice
        fenced = np.full((self._block, self._metre, size + 2 * _REACH), -np.inf, np.float32)
        inner = fenced[..., _REACH : _REACH + size]
        arrived, going = np.empty(inner.shape, np.float32), np.empty(inner.shape, np.float32)
        scored = np.pad(scored, ((0, -len(scored) % self._block), (0, 0)))
        for first in range(0, len(scored), self._block):
            at = self._kept + first
            rows = slice(at, at + self._block)
            left = best[at - self._block : at] - np.float32(_LEAVE)
            np.maximum(np.maximum.accumulate(left), rest[at - 1], out=rest[rows])
            np.take(flat, self._from + at * row, out=arrived)
            np.maximum(arrived, rest[at - 1 : at + self._block - 1, None, None] + self._enter, out=arrived)
            np.add(arrived, scored[first : first + self._block, :, None], out=inner)
            leaving = depart[rows]
            np.add(inner, self._change[_REACH], out=leaving)
            for c in range(len(self._change)):
                np.add(fenced[..., 2 * _REACH - c : 2 * _REACH - c + size], self._change[c], out=going)
                np.maximum(leaving, going, out=leaving)
            arrive[rows] = inner
            best[rows] = inner.max(axis=(1, 2))

    def _back(self, end: int) -> tuple[float, list[tuple[int, int]]]:
        """The best path to the row before ``end``: its score, and its beats as (row less the kept ones, beat)."""
        first = int(self._lengths[-1])
        rest, best = self._rest, self._best
        row: int | None = int(np.argmax(best[first:end])) + first
        score = float(max(best[row], rest[end - 1]))
        if rest[end - 1] > best[row]:
            row = self._left(end - 1)
        path: list[tuple[int, int]] = []
        while row is not None:  # a chain of beats, from its last to where it was entered
            k, i = divmod(int(np.argmax(self._arrive[row])), len(self._lengths))
            while True:
                path.append((row - self._kept, k))
                before, last = row - int(self._lengths[i]), (k - 1) % self._metre
                if rest[row - 1] + self._enter[i] > self._depart[before, last, i]:
                    row = self._left(row - 1)
                    break
                if before < first:
                    row = None
                    break
                lengths = np.arange(max(0, i - _REACH), min(len(self._lengths), i + _REACH + 1))
                came = self._arrive[before, last, lengths] + self._change[i - lengths + _REACH, i]
                row, k, i = before, last, int(lengths[np.argmax(came)])
        return score, path[::-1]

    def _left(self, row: int) -> int | None:
        """The beat after which the rest at ``row`` began; None where that lies before all that is kept."""
        first, last = int(self._lengths[-1]), row - self._block + 1
        if last <= first:
            return None
        beat = int(np.argmax(self._best[first:last])) + first
        # but for a rounding error: scores are moved between windows
        return beat if self._best[beat] - _LEAVE > self._rest[row] - 0.01 else None

    def _move_on(self, count: int) -> float:
        """Make the last rows those before the next window, near 0 again; returns by how much they were lowered."""
        level = self._rest[self._kept + count - 1]
        for rows in (self._arrive, self._depart, self._rest, self._best):
            rows[: self._kept] = rows[count : count + self._kept] - level
        return float(level)


def _refined(times: NDArray[np.int64], beat: NDArray[np.float32], frame_rate: float) -> NDArray[np.float64]:
    """Beats on the peaks of the full curve; those without one where their neighbours say."""
    reach = max(1, round(_REFINE_S * frame_rate))
    padded = np.pad(beat, reach + 1)
    near = padded[times[:, None] + np.arange(1, 2 * reach + 2)]  # within the reach, the time itself in the middle
    # of equals the one nearest to the middle
    near = near - np.float32(1e-6) * np.abs(np.arange(-reach, reach + 1))
    peak = times + np.argmax(near, axis=1) - reach
    left, top, right = (padded[peak + reach + 1 + step] for step in (-1, 0, 1))
    is_peak = (top >= NEUTRAL) & (top >= left) & (top >= right)
    frames = peak + vertex(left, top, right)
    index = np.arange(len(times))
    if not is_peak.any():
        return times.astype(np.float64)
    on = index[is_peak]
    frames = np.interp(index, on, frames[is_peak])
    for outside, nearest in ((slice(0, on[0]), on[0]), (slice(on[-1] + 1, None), on[-1])):
        frames[outside] = times[outside] + (frames[nearest] - times[nearest])
    return np.maximum.accumulate(np.clip(frames, 0, len(beat) - 1))


def pick_phrases(phrase: NDArray[np.float32], beats: Beats, frame_rate: float) -> Peaks:
    """Phrase starts: the curve's peaks, moved to the nearest downbeat within half a beat, at least two bars apart.

    Without beats, the peaks themselves.
    """
    peaks = pick_onsets(phrase, frame_rate, PHRASE_THRESHOLD)
    bars = beats.frames[beats.positions == 1]
    if not len(bars) or not len(peaks.frames):
        return peaks
    nearest = np.clip(np.searchsorted((bars[1:] + bars[:-1]) / 2, peaks.frames), 0, len(bars) - 1)
    close = np.abs(bars[nearest] - peaks.frames) <= 0.5 * 60 * frame_rate / beats.tempo
    strengths = np.zeros(len(bars), np.float32)
    np.maximum.at(strengths, nearest[close], peaks.strengths[close])
    there = np.flatnonzero(strengths)
    # counted in bars, so that no tempo comes into it
    kept = there[strongest(there.astype(np.float64), strengths[there], 2)]
    return Peaks(bars[kept], strengths[kept])
