"""A ring behaves like an endless list of frames, whatever the order of writes and reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.errors import AudioError
from streaming.lane import read_ring, write_ring
from streaming.ring import Ring


@given(capacity=st.integers(1, 40), steps=st.lists(st.tuples(st.booleans(), st.integers(0, 45)), max_size=60))
def test_ring_is_a_queue(capacity: int, steps: list[tuple[bool, int]]) -> None:
    ring, queue, clock = Ring((2,), capacity), [], 0
    for write, n in steps:
        if write:
            block = np.arange(clock, clock + n, dtype=np.float32) * np.array([[1], [-1]], np.float32)
            if len(queue) + n > capacity:
                with pytest.raises(AudioError, match="overflow"):
                    ring.write(block)
                continue
            ring.write(block)
            queue += range(clock, clock + n)
            clock += n
        else:
            out = np.full((2, n), np.nan, np.float32)
            if n > len(queue):
                with pytest.raises(AudioError, match="underflow"):
                    ring.read(out)
                continue
            ring.read(out)
            np.testing.assert_array_equal(out[0], queue[:n])
            np.testing.assert_array_equal(out[1], [-v for v in queue[:n]])
            del queue[:n]
        assert (ring.available, ring.free) == (len(queue), capacity - len(queue))


@given(power=st.integers(0, 6), start=st.integers(-(2**40), 2**40), lengths=st.lists(st.integers(0, 64), max_size=12))
def test_absolute_positions_wrap(power: int, start: int, lengths: list[int]) -> None:
    frames = 1 << power
    ring = np.zeros((1, frames), np.float32)
    for n in (min(n, frames) for n in lengths):
        block = np.random.default_rng(n).standard_normal((1, n)).astype(np.float32)
        write_ring(ring, start, block)
        back = np.empty_like(block)
        read_ring(ring, start, back)
        np.testing.assert_array_equal(back, block)
        start += n
