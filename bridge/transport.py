"""Where what is heard lies on the DAW's timeline: the one place that maps samples of the session to the DAW's time.

The DAW tells now and then where its playhead is. While it rolls, its time is a straight line over the session's
samples, and each jump, loop, tempo change, stop and start begins another::

    DAW's time   │          ╱ tempo change        ╱ after a jump
                 │        ╱┆                    ╱
                 │   ╱──╱  ┆  ⟋ ⟋            ╱┆
                 │ ╱ start ┆⟋    ⟍ stop     ╱ ┆
                 └─┴───────┴──────┴────────┴──┴───── samples that the session has heard

A report that is told comes after what it tells of, never before, so the session is a little further on than it should
be: of reports that are as exact as each other, the least delayed one is right. Where the DAW was asked, the delay is
known, and what is left, both sides' blocks and halts, lies around the truth. Each report has a session sample in the
lane's input time, and a `Playhead`. What is not known is told: `Place.error_s` is how far off it may be, and where the
DAW did not roll there is no place at all.
"""

import math
import struct
import threading
from collections import deque
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal, NamedTuple

Unit = Literal["seconds", "beats"]

JUMP_S = 0.04
"""A report so far off the line (beyond what it and the line may be off) means that the playhead jumped."""
WINDOW = 64
"""Reports among which the least delayed is looked for."""
LATEST = 8
"""Of them: what the last ones agree on."""
KNOT_S = 10.0
"""So often a line begins afresh where it is, because two clocks drift apart."""
STALE_S = 3.0
"""A DAW that has told nothing for so long may have stopped."""
STRETCHES_MAX = 4000


class Playhead(NamedTuple):
    """What a DAW tells.

    Attributes:
        position: in ``unit``, from the timeline's beginning; beats are quarter notes.
        tempo: beats a minute; needed where the unit is beats.
        speed: 1 is as recorded.
        error_s: how far off the position itself may be.
        loop: where it jumps back, from the second to the first, if it says so.
        asked: it answered a question, so that ``error_s`` holds the delay, too; one that was told may be late.
    """

    position: float
    rolling: bool
    unit: Unit = "seconds"
    tempo: float = 0.0
    speed: float = 1.0
    error_s: float = 0.0
    loop: tuple[float, float] | None = None
    asked: bool = False


class Place(NamedTuple):
    """Where a sample of the session lies on the DAW's timeline, to within ``error_s`` seconds."""

    position: float
    unit: Unit
    error_s: float


@dataclass
class _Stretch:
    """One straight line from ``start`` to ``end``, exclusive; None: it still goes on. ``gap``: samples before ``start``
    in which a jump happened."""

    start: int
    position: float
    per_sample: float
    unit: Unit
    error_s: float
    per_second: float
    end: int | None = None
    gap: int = 0
    window: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def at(self, session: float) -> float:
        return self.position + (session - self.start) * self.per_sample

    def session_at(self, position: float) -> float:
        return self.start + (position - self.position) / self.per_sample

    def refine(self, session: int, head: Playhead) -> None:
        """Of the reports that are the most exact in themselves, believe the middle one where the DAW was asked, and the
        least delayed one where it told. What they do not agree on is how far off this may be: then some came late, or
        one of the two sides halted, and who can tell?
        """
        self.window.append((head.position - session * self.per_sample, head.error_s))
        exact_s = min(error for _, error in self.window)
        exact = sorted(offset for offset, error in self.window if error <= exact_s + 1e-9)
        latest = [offset for offset, _ in list(self.window)[-LATEST:]]
        if head.asked:
            offset, now = median(exact), median(latest)
            spread = (exact[-1 - len(exact) // 10] - exact[len(exact) // 10]) / 2
        else:
            offset, now, spread = exact[-1], max(latest), 0.0
        self.position = offset + self.start * self.per_sample
        self.error_s = exact_s + (spread + abs(offset - now)) / self.per_second


class Transport:
    """The DAW's transport as the session hears it. Thread-safe.

    Args:
        rate: of the session (Hz).
        delay_samples: how much later the session hears what the DAW plays, where audio takes a way of its own.
        block_samples: the session's counter moves in blocks, so a place is off by up to one.
    """

    def __init__(self, rate: int, delay_samples: int = 0, block_samples: int = 0) -> None:
        self._rate, self._delay, self._block_s = rate, delay_samples, block_samples / rate
        self._stretches: deque[_Stretch] = deque(maxlen=STRETCHES_MAX)
        self._still: tuple[int, float] | None = None
        self._last: tuple[int, Playhead] | None = None
        self._lock = threading.Lock()

    @property
    def last(self) -> Playhead | None:
        """What the DAW told last."""
        return self._last[1] if self._last else None

    @property
    def heard_until(self) -> int:
        """The session's sample of the last report; -1 before there is one. Up to there places are settled."""
        return self._last[0] + self._delay if self._last else -1

    def report(self, session: int, head: Playhead) -> None:
        """The playhead was at ``head`` when the session had heard ``session`` samples, or a little before."""
        with self._lock:
            if self._last and session < self._last[0]:
                return  # overtaken by a later one
            current = self._current()
            per_sample = _units_a_second(head) / self._rate
            if not head.rolling or per_sample <= 0:
                if current:
                    self._stop(current, session, head)
                self._still = (session, head.position)
            elif current is None:
                self._start(session, head, per_sample)
            else:
                self._go_on(current, session, head, per_sample)
            self._last = session, head

    def place(self, session: int) -> Place | None:
        """Where on the timeline this sample was heard; None where the DAW did not roll, or told nothing."""
        heard = session - self._delay
        with self._lock:
            for stretch in reversed(self._stretches):
                if heard < stretch.start - stretch.gap:
                    continue
                end = stretch.end
                if end is None and self._last is not None:
                    end = self._last[0] + round(STALE_S * self._rate)
                if end is not None and heard >= end:
                    return None
                unsure = stretch.gap / self._rate if heard < stretch.start else 0.0
                return Place(stretch.at(heard), stretch.unit, stretch.error_s + self._block_s + unsure)
        return None

    def heard_at(self, position: float) -> int | None:
        """When the session last heard this position of the timeline; None if it did not."""
        with self._lock:
            for stretch in reversed(self._stretches):
                session = stretch.session_at(position)
                end = stretch.end if stretch.end is not None else self._last[0] if self._last else stretch.start
                if stretch.start - 0.5 <= session <= end + 0.5:
                    return round(session) + self._delay
        return None

    def _current(self) -> _Stretch | None:
        return self._stretches[-1] if self._stretches and self._stretches[-1].end is None else None

    def _start(self, session: int, head: Playhead, per_sample: float) -> None:
        """It began to roll where it stood, after it was last seen standing there."""
        stretch = self._begin(session, session, head, per_sample)
        if self._still is not None:
            since, position = self._still
            began = round(stretch.session_at(position))
            if since <= began <= session:
                self._move_start(stretch, began)

    def _stop(self, current: _Stretch, session: int, head: Playhead) -> None:
        """It rolled until it reached the place where it stands, if that is on its way; else until last seen rolling."""
        last = self._last[0] if self._last else current.start
        reached = round(current.session_at(head.position))
        current.end = reached if last <= reached <= session else last

    def _go_on(self, current: _Stretch, session: int, head: Playhead, per_sample: float) -> None:
        last = self._last[0] if self._last else current.start
        same_unit = current.unit == head.unit
        off_s = abs(head.position - current.at(session)) / per_sample / self._rate if same_unit else math.inf
        bend_s = (session - last) / self._rate * abs(1 - current.per_sample / per_sample)
        near = off_s <= JUMP_S + head.error_s + current.error_s + bend_s
        if near and math.isclose(per_sample, current.per_sample, rel_tol=1e-9):
            current.refine(session, head)
            if session - current.start > KNOT_S * self._rate:
                self._knot(current, session)
        elif near:  # a bend: the two lines meet where the tempo changed
            stretch = self._begin(session, session, head, per_sample)
            bent = (stretch.at(0) - current.at(0)) / (current.per_sample - per_sample)
            self._meet(current, stretch, round(min(max(bent, last), session)))
        else:
            stretch = self._begin(session, session, head, per_sample)
            turned = round(current.session_at(head.loop[1])) if head.loop and same_unit else -1
            if (
                head.loop
                and last <= turned <= session
                and abs(stretch.at(turned) - head.loop[0]) <= ((JUMP_S + head.error_s) * self._rate * per_sample)
            ):
                self._meet(current, stretch, turned)
            else:
                current.end, stretch.gap = last, max(0, session - last)

    def _begin(self, start: int, session: int, head: Playhead, per_sample: float) -> _Stretch:
        stretch = _Stretch(start, head.position, per_sample, head.unit, head.error_s, per_sample * self._rate)
        stretch.refine(session, head)
        self._stretches.append(stretch)
        return stretch

    def _knot(self, current: _Stretch, session: int) -> None:
        fresh = replace(current, start=session, position=current.at(session), gap=0)
        current.end = session
        self._stretches.append(fresh)

    def _meet(self, old: _Stretch, new: _Stretch, session: int) -> None:
        self._move_start(new, session)
        old.end = session

    @staticmethod
    def _move_start(stretch: _Stretch, session: int) -> None:
        stretch.position, stretch.start = stretch.at(session), session


def float32_error_s(seconds: float) -> float:
    """How far off a time may be that travelled as a float32: half the distance to the next one.

    At 600 s it is 31 µs, more than a sample.
    """
    near = struct.unpack("<f", struct.pack("<f", abs(seconds)))[0]
    bits = struct.unpack("<I", struct.pack("<f", near))[0]
    after = struct.unpack("<f", struct.pack("<I", bits + 1))[0]
    return float(after - near) / 2


def _units_a_second(head: Playhead) -> float:
    return head.speed * (head.tempo / 60.0 if head.unit == "beats" else 1.0)
