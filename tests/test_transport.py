"""The map from the session's samples to the DAW's time, against a DAW that is simulated block by block."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.transport import KNOT_S, Playhead, Transport, float32_error_s

RATE = 48000


class Rolling:
    """A DAW and a session on one clock, in blocks. ``truth`` is where on the timeline each block began, or None."""

    def __init__(self, transport: Transport, block: int, seed: int = 0, rate: int = RATE) -> None:
        self.transport, self.block, self.rate = transport, block, rate
        self.rng = np.random.default_rng(seed)
        self.session, self.position, self.rolling, self.tempo = 0, 0.0, False, 0.0
        self.unit = "seconds"
        self.loop: tuple[float, float] | None = None
        self.truth: list[tuple[int, float | None]] = []
        self.late: list[tuple[int, Playhead]] = []

    def run(self, seconds: float, every_s: float = 0.1, delay_s: float = 0.0, tell_loop: bool = True) -> None:
        """Reports leave every so often and arrive up to ``delay_s`` later, in order."""
        blocks = round(seconds * self.rate / self.block)
        each = max(1, round(every_s * self.rate / self.block))
        for i in range(blocks):
            if self.loop and self.position >= self.loop[1] - 1e-9:
                self.position -= self.loop[1] - self.loop[0]
            self.truth.append((self.session, self.position if self.rolling else None))
            step = self.tempo / 60 if self.unit == "beats" else 1.0
            self.session += self.block
            self.position += self.rolling * self.block / self.rate * step
            if i % each == each - 1:
                head = Playhead(
                    self.position, self.rolling, self.unit, self.tempo, loop=self.loop if tell_loop else None
                )
                due = self.session + round(self.rng.uniform(0, delay_s) * self.rate) // self.block * self.block
                self.late.append((due, head))
            while self.late and self.late[0][0] <= self.session:
                self.transport.report(self.session, self.late.pop(0)[1])

    def worst(self, frm: int = 0, to: int | None = None) -> float:
        """The largest distance (units) of a place to the truth; a place where there is none, or none, is infinite."""
        worst = 0.0
        for session, position in self.truth:
            if session < frm or (to is not None and session >= to):
                continue
            place = self.transport.place(session)
            if (place is None) != (position is None):
                return np.inf
            if place is not None and position is not None:
                worst = max(worst, abs(place.position - position))
        return worst


@pytest.mark.parametrize("block", [32, 441, 1024])
@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_reports_without_delay_give_every_sample_exactly(rate: int, block: int) -> None:
    daw = Rolling(Transport(rate), block, rate=rate)
    daw.run(0.5)
    daw.position, daw.rolling = 12.345, True
    daw.run(3.0)
    first = next(session for session, position in daw.truth if position is not None)
    assert daw.worst(first + rate // 5) * rate < 1e-3


def test_it_starts_and_stops_where_the_playhead_stood() -> None:
    """Though it is told only every tenth of a second."""
    daw = Rolling(Transport(RATE), 64)
    daw.position = 3.0
    for rolling in (False, True, False, True, False):
        daw.rolling = rolling
        daw.run(1.03)
    assert daw.worst() * RATE < 1e-3


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), block=st.sampled_from([64, 256, 480]))
def test_delays_are_seen_through(seed: int, block: int) -> None:
    """Reports that are up to 30 ms late: the least delayed of them is right, to a block."""
    daw = Rolling(Transport(RATE, block_samples=block), block, seed)
    daw.run(0.3)
    daw.rolling = True
    daw.run(6.0, delay_s=0.03)
    place = daw.transport.place(daw.session)
    assert place is not None
    assert abs(place.position - daw.position) <= 0.002 + place.error_s


def test_a_loop_that_is_told_turns_on_the_sample() -> None:
    daw = Rolling(Transport(RATE), 64)
    daw.run(0.2)
    daw.loop = (1.0, 1.0 + 0.4 * 64 * 100 / RATE * 3)  # ends on a block
    daw.rolling = True
    daw.run(5.0)
    assert daw.worst() * RATE < 1e-3


def test_a_jump_that_nobody_told_is_unsure_for_the_time_between_two_reports() -> None:
    daw = Rolling(Transport(RATE), 64)
    daw.run(0.2)
    daw.rolling = True
    daw.run(1.03)
    jumped = daw.session
    daw.position = 60.0
    daw.run(1.0)
    for session, position in daw.truth:
        place = daw.transport.place(session)
        assert (place is None) == (position is None)
        if place is None or position is None:
            continue
        if abs(place.position - position) * RATE > 1e-3:
            assert jumped - RATE // 10 <= session <= jumped + RATE // 10, "only round the jump"
            assert place.error_s >= 0.05, "and it says so"
    assert daw.worst(jumped + RATE // 8) * RATE < 1e-3


def test_tempo_changes_bend_the_line_where_they_were() -> None:
    daw = Rolling(Transport(RATE), 48)
    daw.unit, daw.tempo = "beats", 120.0
    daw.run(0.2)
    daw.rolling = True
    for tempo in (120.0, 121.0, 90.0, 174.5):
        daw.tempo = tempo
        daw.run(1.03)
    assert daw.worst() * 60 / 90 < 0.0005, "half a millisecond: where lines are nearly parallel they meet anywhere"
    place = daw.transport.place(daw.session - 100)
    assert place is not None
    assert place.unit == "beats"


def test_drifting_clocks_are_followed_and_the_past_stays_where_it_was() -> None:
    """100 ppm: after a minute the clocks are 6 ms apart."""
    transport, drift = Transport(RATE), 1 + 1e-4
    transport.report(0, Playhead(0.0, False))
    for k in range(1, 601):
        transport.report(k * RATE // 10, Playhead(k / 10 * drift, True))
    for seconds in (1, 15, 30, 59):
        place = transport.place(seconds * RATE)
        assert place is not None
        assert abs(place.position - seconds * drift) < 2 * KNOT_S * 1e-4


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("halt_s", [0.01, 0.03, -0.01, -0.03])
def test_a_halt_of_either_side_is_followed_or_told(halt_s: float, asked: bool) -> None:
    """Too short for a jump: the session halts (the DAW goes on), or the other way round."""
    transport = Transport(RATE)
    transport.report(0, Playhead(0.0, False))
    for k in range(1, 61):
        ahead_s = halt_s if k > 30 else 0.0
        transport.report(k * RATE // 10, Playhead(k / 10 + ahead_s, True, asked=asked))
    place = transport.place(6 * RATE)
    assert place is not None
    assert abs(place.position - (6.0 + halt_s)) <= place.error_s + 1e-9


def test_blocks_of_both_sides_lie_around_the_truth_where_the_daw_was_asked() -> None:
    """A session in blocks of 256 and a DAW in blocks of 1024, on clocks of their own, asked at any time."""
    rng = np.random.default_rng(2)
    transport = Transport(RATE, block_samples=256)
    for now in np.sort(rng.uniform(0, 6, 60)):
        session, daw = int(now * RATE) // 256 * 256, int((now + 0.0123) * RATE) // 1024 * 1024
        transport.report(session, Playhead(100 + daw / RATE, True, asked=True))
    place = transport.place(5 * RATE)
    assert place is not None
    assert abs(place.position - 105.0123) <= place.error_s
    assert place.error_s < 2 * 1024 / RATE


def test_a_delay_of_the_audio_is_taken_off() -> None:
    for delay in (0, 1000):
        transport = Transport(RATE, delay_samples=delay)
        for k in range(5):
            transport.report(k * 4800, Playhead(10 + k / 10, True))
        place = transport.place(9600 + delay)
        assert place is not None
        assert abs(place.position - 10.2) < 1e-9
        assert transport.heard_at(10.2) == 9600 + delay
        assert transport.heard_until == 4 * 4800 + delay


def test_the_last_time_that_a_place_was_heard() -> None:
    daw = Rolling(Transport(RATE), 64)
    daw.loop = (0.0, 64 * 300 / RATE)
    daw.run(0.2)
    daw.rolling = True
    daw.run(2.0)
    heard = daw.transport.heard_at(0.1)
    assert heard is not None
    assert max(s for s, p in daw.truth if p is not None and p <= 0.1 + 1e-9 and p > 0.1 - 64 / RATE) <= heard
    assert daw.transport.heard_at(5.0) is None


def test_what_the_daw_did_not_tell_is_not_made_up() -> None:
    transport = Transport(RATE)
    assert transport.place(0) is None
    assert transport.heard_until == -1
    transport.report(1000, Playhead(1.0, True))
    assert transport.place(999) is None, "it may have stood until then"
    assert transport.place(1000 + 10 * RATE) is None, "it has told nothing for 9 s"
    transport.report(2000, Playhead(2.0, True, "beats"))  # no tempo: it cannot be followed
    assert transport.place(2000) is None


def test_reports_that_overtake_each_other_change_nothing() -> None:
    transport = Transport(RATE)
    for session in (0, 4800, 9600):
        transport.report(session, Playhead(session / RATE, True))
    transport.report(4700, Playhead(99.0, True))
    place = transport.place(9600)
    assert place is not None
    assert abs(place.position - 0.2) < 1e-9


def test_the_most_exact_report_is_believed() -> None:
    """A float32 at 600 s is a sample and a half off, and it says so."""
    assert 1.4 < float32_error_s(600.0) * RATE < 1.6
    assert float32_error_s(0.0) < 1e-40
    transport, rng = Transport(RATE), np.random.default_rng(1)
    for k, wrong in zip(itertools.count(), rng.uniform(-3e-5, 3e-5, 20)):
        exact = k == 7
        transport.report(k * 4800, Playhead(600 + k / 10 + (0 if exact else wrong), True, error_s=0 if exact else 3e-5))
    place = transport.place(10 * 4800)
    assert place is not None
    assert abs(place.position - 601.0) * RATE < 1e-3
    assert place.error_s <= 3e-5
