"""One peer of ours, heard over waves: run by chop_peers.py, in whatever Python the peer is installed in (3.8 or later).

    python benchmarks/chop_peer.py PEER WAVE.npy…

Each wave is mono float32 at 44.1 kHz. Prints JSON: for each wave the seconds of ``onset``, ``beat`` and ``downbeat`` as
far as the peer hears them, and ``took``, the time it needed. Every peer is used as its own command or manual does.
"""

import json
import sys
import time
import warnings
from typing import Any, Callable, Dict  # noqa: UP035 - this file runs in old interpreters, too

import numpy as np

RATE = 44100
Heard = Dict[str, Any]  # noqa: UP006


def hear_librosa() -> Callable[[np.ndarray], Heard]:
    import librosa

    def hear(mono: np.ndarray) -> Heard:
        onsets = librosa.onset.onset_detect(y=mono, sr=RATE, units="time")
        beats = librosa.beat.beat_track(y=mono, sr=RATE, units="time")[1]
        return {"onset": onsets, "beat": beats}

    return hear


def hear_essentia() -> Callable[[np.ndarray], Heard]:
    import essentia
    import essentia.standard as standard

    essentia.log.infoActive = False

    def hear(mono: np.ndarray) -> Heard:
        onsets = standard.OnsetRate()(mono)[0]
        beats = standard.RhythmExtractor2013(method="multifeature")(mono)[1]
        return {"onset": onsets, "beat": beats}

    return hear


def hear_madmom() -> Callable[[np.ndarray], Heard]:
    from madmom.audio.signal import Signal
    from madmom.features.downbeats import DBNDownBeatTrackingProcessor, RNNDownBeatProcessor
    from madmom.features.onsets import CNNOnsetProcessor, OnsetPeakPickingProcessor

    attack, pulse = CNNOnsetProcessor(), RNNDownBeatProcessor()
    pick = OnsetPeakPickingProcessor(threshold=0.54, smooth=0.05, pre_max=0.01, post_max=0.01, fps=100)
    follow = DBNDownBeatTrackingProcessor(beats_per_bar=[3, 4], fps=100)

    def hear(mono: np.ndarray) -> Heard:
        signal = Signal(mono, sample_rate=RATE, num_channels=1)
        beats = np.asarray(follow(pulse(signal))).reshape(-1, 2)
        return {"onset": pick(attack(signal)), "beat": beats[:, 0], "downbeat": beats[beats[:, 1] == 1, 0]}

    return hear


PEERS = {"librosa": hear_librosa, "essentia": hear_essentia, "madmom": hear_madmom}


def main() -> None:
    warnings.simplefilter("ignore")
    hear = PEERS[sys.argv[1]]()
    hear(np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32))  # compiles, loads
    for path in sys.argv[2:]:
        mono = np.load(path)
        start = time.perf_counter()
        heard = hear(mono)
        took = time.perf_counter() - start
        print(json.dumps({**{k: [float(t) for t in v] for k, v in heard.items()}, "took": took}), flush=True)


if __name__ == "__main__":
    main()
