"""The proof that what ships is what was trained.

Three ways through one network are held against `reference`, which shares no code with any of them: the torch network
over a whole sequence, the ONNX file run hop by hop, and the engine fed with blocks of random length.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.separator.masking import separate
from models.separator.network import Separator
from models.separator.stft import Stft
from streaming.engine import Engine
from streaming.errors import ModelError
from streaming.session import OnnxModel
from streaming.windows import DEFAULT

from . import reference

FP32_LIMIT = 1e-5
"""Greatest difference of any sample of a signal that peaks near 1."""

INT8_LIMIT_DB = 20.0
"""Least SDR of the int8 stems with the fp32 stems as the truth. Errors that far down take under 0.1 dB from a
separation of 5 dB."""

RATE, SECONDS = 44100, 4


class Parity(NamedTuple):
    """One comparison."""

    what: str
    measure: str
    value: float
    limit: float
    holds: bool


def must_hold(rows: Sequence[Parity]) -> None:
    """Raises `ModelError` for the first comparison that is out of its limit."""
    for row in rows:
        if not row.holds:
            raise ModelError(f"parity: {row.what}: {row.measure} is {row.value:.3g}, the limit is {row.limit:g}")


def check_parity(network: Separator, fp32: Path, int8: Path, seed: int = 0) -> list[Parity]:
    """Compare and report; both files need their cards.

    Raises:
        ModelError: when any comparison is out of its limit.
    """
    mix = test_signal(seed)
    truth = reference.separate({n: p.detach().numpy() for n, p in network.state_dict().items()}, mix.astype(np.float64))
    quantised = through_engine(int8, mix, seed)
    rows = [
        near("torch, whole sequence", through_torch(network, mix), truth),
        near("onnxruntime, hop by hop", through_step(fp32, mix), truth),
        near("engine, random blocks", through_engine(fp32, mix, seed), truth),
        near("engine, int8, stems sum to the mix", quantised.sum(0), mix),
        *_agreement(fp32, mix, truth, quantised),
    ]
    must_hold(rows)
    return rows


def test_signal(seed: int) -> NDArray[np.float32]:
    """``(2, samples)`` with what music has: tones, bursts of noise, clicks, silence, both channels apart."""
    rng = np.random.default_rng(seed)
    t = np.arange(SECONDS * RATE) / RATE
    tones = np.zeros(len(t))
    for i, hertz in enumerate((55, 220, 330, 1760)):
        tones += np.sin(2 * np.pi * hertz * t + rng.uniform(0, 6)) / (i + 2)
    bursts = rng.standard_normal((2, len(t))) * np.exp(-20 * (t % 0.4)) * 0.5
    clicks = (rng.random((2, len(t))) < 2e-4) * 0.8
    mix = 0.4 * np.stack([tones, tones[::-1]]) + bursts + clicks
    mix[:, RATE : RATE + RATE // 4] = 0
    signal: NDArray[np.float32] = (mix / np.abs(mix).max()).astype(np.float32)
    return signal


def through_torch(network: Separator, mix: NDArray[np.float32]) -> NDArray[np.float32]:
    hop = DEFAULT.hop_samples
    padded = np.pad(mix, ((0, 0), (0, -mix.shape[1] % hop + hop)))  # a hop is final once the next has come
    with torch.no_grad():
        stems = separate(network, Stft(DEFAULT), torch.from_numpy(padded)[None])[0].numpy()[..., : mix.shape[1]]
    return np.concatenate([stems, (mix - stems.sum(0))[None]])


def through_step(model: Path, mix: NDArray[np.float32]) -> NDArray[np.float32]:
    """The file alone, between the reference's own transforms."""
    step = OnnxModel.open(model)
    spectra = np.stack([reference.analyse(channel) for channel in mix.astype(np.float64)], axis=1)  # (frames, 2, bins)
    out = []
    for spectrum in spectra:
        step.input[0] = np.stack([spectrum.real, spectrum.imag], axis=-1)
        step.run()
        out.append(step.output[0, ..., 0] + 1j * step.output[0, ..., 1])
    frames = np.moveaxis(np.array(out), 0, 2)  # (3, 2, frames, bins)
    stems = np.array([[reference.synthesise(f, mix.shape[1]) for f in stem] for stem in frames], np.float32)
    return np.concatenate([stems, (mix - stems.sum(0))[None]])


def through_engine(model: Path, mix: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The whole engine in blocks of 1 to 2048 frames, its latency taken away."""
    rng = np.random.default_rng(seed)
    engine = Engine(model)
    engine.prepare(RATE, 2048, 2)
    parts, at = [], 0
    while at < mix.shape[1]:
        block = int(rng.integers(1, 2049))
        parts.append(engine.process(mix[:, at : at + block])[1].copy())
        at += block
    parts.append(engine.flush()[1].copy())
    return np.concatenate(parts, axis=-1)[..., engine.latency_samples :]


def near(what: str, got: NDArray[np.floating], truth: NDArray[np.floating]) -> Parity:
    """The greatest difference, within single precision or not."""
    value = float(np.abs(got - truth).max())
    return Parity(what, "greatest difference", value, FP32_LIMIT, value <= FP32_LIMIT)


def _agreement(
    fp32: Path, mix: NDArray[np.float32], truth: NDArray[np.float64], quantised: NDArray[np.float32]
) -> list[Parity]:
    names = OnnxModel.open(fp32).card.outputs_heard
    rows = []
    for name, exact, got in zip(names, truth, quantised, strict=True):
        value = float(10 * np.log10((np.sum(exact**2) + 1e-9) / (np.sum((exact - got) ** 2) + 1e-9)))
        rows.append(Parity(f"engine, int8, {name}", "SDR to fp32, dB", value, INT8_LIMIT_DB, value >= INT8_LIMIT_DB))
    return rows
