"""A query model beside specialists: RNNoise on noisy speech, live4 on the stems of songs.

    pip install pyrnnoise pesq
    python benchmarks/query_peers.py POOL CORPUS [--model query-live] [--mixtures 48]

Noisy speech: held-out speech (a language that training never met) under held-out sounds that are neither voices nor
music, at 0, 5, 10 and 15 dB. SI-SDR at 44.1 kHz (Le Roux et al. 2019) and wide-band PESQ at 16 kHz (ITU-T P.862.2);
every system's output is first put where it lines up best with the speech. Stems: 15 s of each test song of a corpus
(`python -m models.corpus CORPUS`), SDR as `sidechop evaluate separator` has it.
"""

import argparse
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bridge.registry import find_model
from bridge.text_encoder import TextEncoder, encoder_of
from models.query.evaluation import BLOCK, SNRS_DB, STEM, noisy_speech, sdr, si_sdr
from models.query.pool import Pool
from models.separator.evaluation import separate_mix
from models.separator.songs import find_songs
from streaming.engine import Engine
from streaming.queries import Queries

try:
    from pesq import pesq
    from pyrnnoise.rnnoise import FRAME_SIZE, create, destroy, process_frame
except ImportError as error:
    raise SystemExit(f"{error.name} is not here: pip install pyrnnoise pesq") from None

RATE, RNNOISE_RATE, PESQ_RATE = 44100, 48000, 16000
SECONDS, SEED = 6.0, 1
ASKED = {"vocals": "the singing voice", "drums": "drums", "bass": "bass guitar"}
SONG_S, SONG_FROM_S = 15, 20
FURTHEST = 4096
"""Samples by which an output may be late."""
Audio = NDArray[np.float32]


def rnnoise(mix: Audio) -> Audio:
    """Mono ``(samples,)`` at 44.1 kHz to what RNNoise keeps of it."""
    wave = soxr.resample(mix, RATE, RNNOISE_RATE)
    wave = np.pad(wave, (0, -len(wave) % FRAME_SIZE + 4 * FRAME_SIZE))
    frames = np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16).reshape(-1, FRAME_SIZE)
    state = create()
    out = [np.asarray(process_frame([state], frame[None])[0]).reshape(-1) for frame in frames]
    destroy(state)
    kept: Audio = soxr.resample(np.concatenate(out).astype(np.float32) / 32767, RNNOISE_RATE, RATE)
    return kept


def aligned(truth: Audio, heard: Audio) -> Audio:
    """``heard`` where it lines up best, as long as ``truth``."""
    heard = np.pad(heard, (0, len(truth) + FURTHEST))[: len(truth) + FURTHEST]
    size = 2 * len(heard)
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(truth, size).conj(), size)
    late = int(product[:FURTHEST].argmax())
    return heard[late : late + len(truth)]


def quality(truth: Audio, heard: Audio) -> tuple[float, float]:
    """SI-SDR (dB) and PESQ (1 … 4.6)."""
    both = (soxr.resample(x, RATE, PESQ_RATE) for x in (truth, heard))
    return si_sdr(truth, heard), float(pesq(PESQ_RATE, *both, "wb"))


def speech_table(engine: Engine, asked: Queries, encoder: TextEncoder, pool: Pool, count: int, model: str) -> Table:
    asked.ask(0, encoder.embed("speech"))
    rows: dict[str, list[tuple[float, float, float]]] = {"the mix": [], "RNNoise": [], model: []}
    console = Console(stderr=True)
    for of in track(noisy_speech(pool, count, SEED, SECONDS), "noisy speech", count, console=console):
        speech, mix = of.speech, of.speech + of.noise
        kept = separate_mix(engine, np.stack([mix, mix]), BLOCK)[STEM].mean(axis=0)
        for name, heard in (("the mix", mix), ("RNNoise", aligned(speech, rnnoise(mix))), (model, kept)):
            rows[name].append((of.snr_db, *quality(speech, heard)))
    table = Table("noisy speech", *(f"SI-SDR, {snr:g} dB" for snr in SNRS_DB), "SI-SDR", "PESQ")
    for name, values in rows.items():
        found = np.array(values)
        each = [found[found[:, 0] == snr, 1].mean() for snr in SNRS_DB]
        table.add_row(name, *(f"{v:.1f}" for v in (*each, found[:, 1].mean())), f"{found[:, 2].mean():.2f}")
    return table


def stem_table(engine: Engine, asked: Queries, encoder: TextEncoder, corpus: Path, model: str) -> Table:
    live4 = Engine(find_model("live4"))
    live4.prepare(RATE, BLOCK, 2)
    found: dict[tuple[str, str], list[float]] = {}
    for song in track(find_songs(corpus, "test"), "songs", console=Console(stderr=True)):
        stems = song.load()[:, :, SONG_FROM_S * RATE : (SONG_FROM_S + SONG_S) * RATE].astype(np.float32) / 32768
        mix = stems.sum(axis=0)
        theirs = separate_mix(live4, mix, BLOCK)
        for number, (stem, words) in enumerate(ASKED.items()):
            truth = stems[number]
            if np.abs(truth).max() < 1e-3:
                continue
            asked.ask(0, encoder.embed(words))
            ours = separate_mix(engine, mix, BLOCK)[STEM]
            for name, heard in (("the mix", mix), ("live4", theirs[stem]), (model, ours)):
                found.setdefault((name, stem), []).append(sdr(truth, heard))
    table = Table("SDR, dB", *(f"{stem}: “{words}”" for stem, words in ASKED.items()))
    for name in ("the mix", "live4", model):
        table.add_row(name, *(f"{np.mean(found[name, stem]):.1f}" if (name, stem) in found else "–" for stem in ASKED))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", default="query-live")
    parser.add_argument("--mixtures", type=int, default=48)
    options = parser.parse_args()
    asked = Queries((STEM,))
    engine = Engine(find_model(options.model), queries=asked)
    engine.prepare(RATE, BLOCK, 2)
    encoder = encoder_of(engine.card)
    console = Console()
    pool = Pool(options.pool, "test")
    console.print(speech_table(engine, asked, encoder, pool, options.mixtures, options.model))
    console.print(stem_table(engine, asked, encoder, options.corpus, options.model))


if __name__ == "__main__":
    main()
