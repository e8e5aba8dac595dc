"""A query swapped while music plays: how soon it is heard, and whether it clicks.

    python benchmarks/query_swap.py [--model query-live] [--swaps 200]

Offline, to the sample: from the hop that first knows of the new query to the first sample that differs from what the
old one would have given. A click is a jump: the largest step between neighbouring samples, and the largest bend
(second difference), in the hop where the one fades into the other, as a share of the largest that either query alone
has in that very hop: the new one asked all along, or a hop sooner, for what was asked just now has no context yet and
may be louder. Then live, over OSC, on a paced file: from the request to its answer.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.osc_client import OscClient
from bridge.registry import find_model
from bridge.text_encoder import encoder_of
from streaming.engine import Engine
from streaming.queries import Queries

RATE = 44100
PAIRS = (("drums", "the singing voice"), ("bass guitar", "drums"), ("the singing voice", "a dog barking"))
DEMO = Path(__file__).parents[1] / "bridge" / "assets" / "demo.ogg"

Audio32 = NDArray[np.float32]


def play(engine: Engine, queries: Queries, mix: Audio32, first: Audio32, second: Audio32, at: int | None) -> Audio32:
    """The stem over the whole of ``mix``, in hops, the query swapped before hop ``at``."""
    hop = engine.latency_samples // 2
    engine.reset()
    queries.ask(0, first)
    parts = []
    for i in range(mix.shape[1] // hop):
        if i == at:
            queries.ask(0, second)
        parts.append(engine.process(mix[:, i * hop : (i + 1) * hop])[1][0].copy())
    return np.concatenate(parts, axis=1)


def offline(model: str, swaps: int) -> None:
    queries = Queries()
    engine = Engine(find_model(model), queries=queries)
    card = engine.card
    encoder = encoder_of(card)
    audio, rate = soundfile.read(DEMO, dtype="float32", always_2d=True)
    engine.prepare(rate, 1024, 2)
    hop = engine.latency_samples // 2
    rng = np.random.default_rng(0)
    begins, steps, bends = [], [], []
    for k in range(swaps):
        first, second = (encoder.embed(words) for words in PAIRS[k % len(PAIRS)])
        start = int(rng.integers(0, len(audio) - 120 * hop))
        mix = np.ascontiguousarray(audio[start : start + 120 * hop].T)
        at = 80
        old = play(engine, queries, mix, first, first, None)
        new = play(engine, queries, mix, second, second, None)
        swapped = play(engine, queries, mix, first, second, at)
        sooner = play(engine, queries, mix, first, second, at - 1)
        differs = np.flatnonzero(np.abs(swapped - old).max(0) > 1e-6)
        if len(differs):
            begins.append((differs[0] - at * hop) / hop)
        near = slice((at + 1) * hop - 2, (at + 2) * hop + 2)  # where the one fades into the other
        for order, ratios in ((1, steps), (2, bends)):
            most = max(np.abs(np.diff(x[:, near], order)).max() for x in (old, new, sooner))
            ratios.append(np.abs(np.diff(swapped[:, near], order)).max() / max(most, 1e-9))
    print(f"{swaps} swaps, {card.name}, hop {1000 * hop / rate:.1f} ms")
    print(f"first sample of the new query: {min(begins):.2f} to {max(begins):.2f} hops after that hop was given")
    for what, ratios in (("step", steps), ("bend", bends)):
        p50, p99 = np.percentile(ratios, (50, 99))
        print(f"largest {what} at the swap, over the largest of either query alone: p50 {p50:.2f}, p99 {p99:.2f}, "
              f"max {max(ratios):.2f} (a click is above 1)")  # fmt: skip


def live(model: str, requests: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        audio, rate = soundfile.read(DEMO, dtype="float32", always_2d=True)
        path = Path(folder) / "demo.wav"
        soundfile.write(path, audio, rate)
        source = Audio(file=path, loop=True, block=256)
        config = Config(model=model, audio=source, osc=Osc(port=0), query=("drums",), budget_ms=15)
        with Daemon(config) as daemon, OscClient(*daemon.server.address, timeout_s=10) as client:
            time.sleep(1.0)
            daemon.lane.reset_statistics()
            fresh, known = [], []
            for i in range(requests):
                for times, words in ((fresh, f"a dog barking, take {i}"), (known, "drums")):
                    started = time.perf_counter()
                    client.request("/sidechop/query", 1, words, "")
                    times.append(1000 * (time.perf_counter() - started))
            statistics = daemon.lane.statistics()
    for what, times in (("new words", fresh), ("words asked before", known)):
        p50, p99 = np.percentile(times, (50, 99))
        print(f"over OSC, {what}: answered in p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    print(f"meanwhile {statistics['misses']} of {statistics['blocks']} blocks missed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="query-live")
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--requests", type=int, default=50)
    options = parser.parse_args()
    offline(options.model, options.swaps)
    live(options.model, options.requests)


if __name__ == "__main__":
    main()
