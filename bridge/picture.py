"""What pictures share, and spectrograms of a mix and its stems. matplotlib draws PNGs, without a screen."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .passage import Passage, mono_blocks

COLUMNS = 2000
"""Points that a waveform or a curve is drawn with."""
FRAME = 2048
HOP = 512
FLOOR_DB = -90.0


def spectrogram_db(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(channels, samples)`` to ``(bins, frames)`` in dB re full scale, channels averaged, from -90 dB."""
    mono = audio.mean(axis=0)
    mono = np.pad(mono, (0, max(0, FRAME - len(mono))))
    frames = np.lib.stride_tricks.sliding_window_view(mono, FRAME)[::HOP]
    window = np.hanning(FRAME).astype(np.float32)
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1)) * (2.0 / window.sum())
    level: NDArray[np.float32] = np.maximum(20.0 * np.log10(magnitude.T + 1e-12), FLOOR_DB).astype(np.float32)
    return level


def draw_spectrograms(path: Path, rate: int, sounds: Mapping[str, NDArray[np.float32]], title: str) -> None:
    """Write ``path`` as a PNG with one panel for each of ``sounds``, all on one scale."""
    figure = Figure(figsize=(10, 1.9 * len(sounds) + 0.6), layout="constrained")
    panels = figure.subplots(len(sounds), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    image = None
    for panel, (name, audio) in zip(panels, sounds.items(), strict=True):
        extent = (0.0, audio.shape[1] / rate, 0.0, rate / 2000.0)
        image = panel.imshow(
            spectrogram_db(audio), origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=FLOOR_DB, vmax=-10
        )
        panel.set_ylabel(f"{name}\nkHz")
        panel.set_ylim(0, min(16.0, rate / 2000.0))
    panels[-1].set_xlabel("seconds")
    figure.suptitle(title)
    if image is not None:
        figure.colorbar(image, ax=list(panels), label="dB", shrink=0.6)
    figure.savefig(path, dpi=100, format="png")


def envelope(passage: Passage, frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The lowest and highest sample of every column of the waveform."""
    columns = min(COLUMNS, frames)
    low, high = np.full(columns, np.inf, np.float32), np.full(columns, -np.inf, np.float32)
    begin = 0
    for mono in mono_blocks(passage):
        column = (np.arange(begin, begin + len(mono)) * columns // frames).clip(max=columns - 1)
        firsts = np.flatnonzero(np.diff(column, prepend=-1))
        np.minimum.at(low, column[firsts], np.minimum.reduceat(mono, firsts))
        np.maximum.at(high, column[firsts], np.maximum.reduceat(mono, firsts))
        begin += len(mono)
    return low, high


def peaks_of(curve: NDArray[np.floating]) -> NDArray[np.floating]:
    """The curve with no more points than columns, each the highest of its stretch."""
    firsts = np.unique(np.arange(min(COLUMNS, len(curve))) * len(curve) // min(COLUMNS, len(curve)))
    peaks: NDArray[np.floating] = np.maximum.reduceat(curve, firsts)
    return peaks


def save(figure: Figure, path: Path) -> None:
    """Write the PNG."""
    with warnings.catch_warnings():  # a name in letters that matplotlib's own font lacks: boxes will do
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, dpi=100, format="png")
