"""What a hop of a live query model costs on one core: nothing asked, one query, one and what it is not, two.

    python benchmarks/query_hop.py [--model query-live] [--rounds 20]

The whole hop as the engine process runs it: STFT, network, inverse STFT, residual and mix. The ways take turns, so
that whatever else the machine does meets all of them; `live4` at the same rate is the peer in the same run. On a busy
machine the processor's own time says more than the clock's, which counts the others' work too.
"""

import argparse
import time

import numpy as np

from bridge.registry import find_model
from streaming.engine import HopEngine
from streaming.mixer import Controls
from streaming.queries import Queries, outputs_for
from streaming.separator import open_processor
from streaming.session import OnnxModel
from streaming.statistics import HopStatistics

RATE = 44100
HOPS = 200
"""In a row, before the next takes its turn."""
LIMIT = 0.35


def engine_of(name: str, queries: Queries) -> HopEngine:
    model = OnnxModel.open(find_model(name))
    processor = open_processor(model, RATE, 2, 1, queries)
    return HopEngine(processor, RATE, 2, Controls(outputs_for(model.card, queries)), HopStatistics())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="query-live")
    parser.add_argument("--peer", default="live4")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    card = OnnxModel.open(find_model(options.model)).card
    width = card.condition.embedding if card.condition else 0
    rng = np.random.default_rng(0)
    words = [(v / np.linalg.norm(v)).astype(np.float32) for v in rng.standard_normal((4, width))]
    ways: dict[str, HopEngine] = {}
    for name, asked in (
        ("nothing asked", ()),
        ("one query", (0,)),
        ("one, and what it is not", (0, 2)),
        ("two", (0, 1)),
    ):
        queries = Queries()
        if asked:
            queries.ask(0, words[0], words[2] if 2 in asked else None)
        if 1 in asked:
            queries.ask(1, words[1])
        ways[name] = engine_of(options.model, queries)
    ways[options.peer] = engine_of(options.peer, Queries())
    clocks = {"by the clock": time.perf_counter, "of the processor": time.thread_time}
    times: dict[str, dict[str, list[float]]] = {name: {clock: [] for clock in clocks} for name in ways}
    for _ in range(options.rounds):
        for name, engine in ways.items():
            sound = (rng.standard_normal((HOPS, 2, engine.hop_samples)) * 0.1).astype(np.float32)
            for hop in sound:
                started = [read() for read in clocks.values()]
                engine.process_hops(hop)
                for (clock, read), start in zip(clocks.items(), started, strict=True):
                    times[name][clock].append(1000 * (read() - start))
    peer = float(np.median(times[options.peer]["of the processor"]))
    for name, engine in ways.items():
        hop_ms = 1000 * engine.hop_samples / RATE
        limit = f" (limit {LIMIT:.0%})" if name != options.peer else ""
        for clock, taken in times[name].items():
            p50, p95, p99 = np.percentile(taken, (50, 95, 99))
            beside = f", {p50 / peer:.2f} of {options.peer}'s p50" if clock == "of the processor" else ""
            print(
                f"{name:24} hop {hop_ms:.1f} ms {clock}: p50 {p50:.2f} ms, p95 {p95:.2f}, p99 {p99:.2f}, "
                f"p99 {p99 / hop_ms:.0%} of a hop{limit}{beside}"
            )


if __name__ == "__main__":
    main()
