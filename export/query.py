"""A query model's checkpoint as an ONNX file that the engine plays, live or for files, proven equal to it."""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.query.network import EMBEDDING, WINDOWS, LiveQuery, StudioQuery
from models.query.training import load_trained
from streaming.card import ModelCard, Source
from streaming.engine import Engine
from streaming.queries import Queries
from streaming.query_network import FilmLayers
from streaming.session import OnnxModel

from . import query_live, query_reference, reference
from .cards import write_card
from .parity import INT8_LIMIT_DB, RATE, Parity, must_hold, near, test_signal
from .query_studio import write_studio

SECONDS = 1.5


def export_query(
    checkpoint: Path, folder: Path, name: str | None = None, text_encoder: str = "minilm"
) -> tuple[Path, list[Parity]]:
    """Write ``folder/NAME.onnx`` (query-live or query-studio unless named), or nothing.

    Returns:
        The file, and how near it is to the checkpoint.

    Raises:
        ModelError: the checkpoint cannot be read, or the file does not do what it does.
    """
    trained = load_trained(checkpoint)
    network = trained.task.network
    name = name or default_name(network)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".export-") as aside:
        file = Path(aside) / f"{name}.onnx"
        rows = write_query(network, file, name, trained.sources, text_encoder)
        must_hold(rows)
        os.replace(file, folder / file.name)
    return folder / file.name, rows


def default_name(network: LiveQuery | StudioQuery) -> str:
    return "query-live" if isinstance(network, LiveQuery) else "query-studio"


def write_query(
    network: LiveQuery | StudioQuery, file: Path, name: str, sources: tuple[Source, ...], text_encoder: str
) -> list[Parity]:
    """Write ``file`` with its card and compare it; whoever asks looks whether all holds."""
    if isinstance(network, StudioQuery):
        return write_studio(network, file, name, sources, text_encoder)
    card, truth = query_live.card_of(network.eval(), name, sources, text_encoder), reference_of(network)
    with TemporaryDirectory(dir=file.parent) as aside:
        parts = query_live.write_parts(network, Path(aside))
        query_live.put_together(network, parts, file)
        rows = check_live(network, file, card, truth)
        query_live.quantise_parts(network, parts)
        query_live.put_together(network, parts, file)
    write_card(file, replace(card, precision="int8"))
    return [*rows, check_int8(file, truth)]


class Reference(NamedTuple):
    """What a live network is asked and what it gives, by arithmetic that shares nothing with it: ``mix`` and ``truth
    (2, samples)``, ``spectra (frames, 2, bins)``."""

    mix: NDArray[np.float32]
    embedding: NDArray[np.float64]
    spectra: NDArray[Any]
    truth: NDArray[np.float64]


def reference_of(network: LiveQuery, seed: int = 0) -> Reference:
    """Takes the time of some thousand hops."""
    mix = test_signal(seed)[:, : int(SECONDS * RATE)]
    embedding = np.random.default_rng(seed).standard_normal(EMBEDDING)
    embedding /= np.linalg.norm(embedding)
    weights = {k: v.double().numpy() for k, v in network.state_dict().items() if v.is_floating_point()}
    n, h = WINDOWS.analysis_samples, WINDOWS.hop_samples
    spectra: NDArray[Any] = np.stack([reference.analyse(channel, n, h) for channel in mix.astype(np.float64)], axis=1)
    kept: NDArray[Any] = query_reference.live(weights, spectra, embedding)  # (frames, 2, bins)
    truth = np.stack([reference.synthesise(kept[:, c], mix.shape[1], n, h) for c in (0, 1)])
    return Reference(mix, embedding, spectra, truth)


def check_int8(file: Path, against: Reference, seed: int = 0) -> Parity:
    """How near a file whose products are int8 comes to the reference, through the engine."""
    mix, embedding, _, truth = against
    got = _through_engine(file, mix, embedding, seed)
    sdr = 10 * np.log10(np.sum(truth**2) / (np.sum((got - truth) ** 2) + 1e-20))
    return Parity("engine, int8", "SDR, dB", float(sdr), INT8_LIMIT_DB, sdr >= INT8_LIMIT_DB)


def check_live(network: LiveQuery, file: Path, card: ModelCard, against: Reference, seed: int = 0) -> list[Parity]:
    """Seal the card of an fp32 file and hold it against the reference: the condition, hop by hop, and through the
    engine."""
    write_card(file, card)
    mix, embedding, spectra, truth = against
    n, h = WINDOWS.analysis_samples, WINDOWS.hop_samples
    model = OnnxModel.open(file)
    film = FilmLayers(model)(embedding.astype(np.float32))
    with torch.no_grad():
        words = network.condition(torch.from_numpy(embedding[None].astype(np.float32)))
        told = query_live.arranged(network, words)[0].numpy()
    rows = [near("condition, numpy to torch", film, told)]
    films = model.buffer("film")
    films[:] = np.random.default_rng(seed).standard_normal(films.shape)
    films[-1] = film  # whichever row it is, and whatever else is asked
    frames = []
    for spectrum in spectra:
        model.input[0] = np.stack([spectrum.real, spectrum.imag], axis=-1)
        model.run()
        frames.append(model.output[0, -1, ..., 0] + 1j * model.output[0, -1, ..., 1])
    waves = np.stack([reference.synthesise(np.array(frames)[:, c], mix.shape[1], n, h) for c in (0, 1)])
    rows.append(near("onnxruntime, hop by hop", waves, truth))
    rows.append(near("engine, random blocks", _through_engine(file, mix, embedding, seed), truth))
    return rows


def _through_engine(
    file: Path, mix: NDArray[np.float32], embedding: NDArray[np.float64], seed: int
) -> NDArray[np.float32]:
    queries = Queries(("query",))
    queries.ask(0, embedding.astype(np.float32))
    engine = Engine(file, queries=queries)
    engine.prepare(RATE, 2048, 2)
    rng, parts, at = np.random.default_rng(seed), [], 0
    while at < mix.shape[1]:
        block = int(rng.integers(1, 2049))
        parts.append(engine.process(mix[:, at : at + block])[1][0].copy())
        at += block
    parts.append(engine.flush()[1][0].copy())
    return np.concatenate(parts, axis=-1)[:, engine.latency_samples :]
