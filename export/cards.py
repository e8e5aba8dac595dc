"""Write a card into an ONNX file, sealed with the digest of what it describes."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from models.query.evaluation import Figure as QueryFigure
from models.separator.evaluation import Figure
from streaming.card import METADATA_KEY, Metric, ModelCard
from streaming.session import read_card


def write_card(model: Path, card: ModelCard) -> ModelCard:
    """Replace the card in ``model`` and return it with its ``sha256``. The file is swapped in whole or not at all."""
    proto = onnx.load(model)
    kept = [p for p in proto.metadata_props if p.key != METADATA_KEY]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    sealed = card.with_digest(proto.SerializeToString())
    sealed.check()
    proto.metadata_props.add(key=METADATA_KEY, value=sealed.to_json())
    aside = model.with_name(f".{model.name}.part")
    aside.write_bytes(proto.SerializeToString())
    os.replace(aside, model)
    return sealed


def add_metrics(model: Path, figures: Sequence[Figure], corpus: str, split: str, rate: int) -> ModelCard:
    """Put the figures of an evaluation into the card, in place of those of the same command."""
    card = read_card(model)
    pairs = any(f.stem == "accompaniment" for f in figures)
    command = f"sidechop evaluate separator {card.name} {corpus}"
    command += ("" if pairs else f" --split {split}") + ("" if rate == card.sample_rates[0] else f" --rate {rate}")
    data = f"{corpus}, {max(f.songs for f in figures)} {'pairs' if pairs else f'{split} songs'}, {rate} Hz"
    fresh = [
        Metric(f"SDR {f.stem}", f.sdr, "dB", data, command, f.baseline, "the mix as the estimate") for f in figures
    ]
    return replace_metrics(model, card, command, fresh)


def add_query_metrics(model: Path, figures: Sequence[QueryFigure], split: str) -> ModelCard:
    """The same of a query model: what each way of asking gains, the question for something else as the baseline."""
    card = read_card(model)
    measured = f"sidechop evaluate query {card.name} POOL --split {split}"
    command = f"{measured} --mixtures {max(f.mixtures for f in figures)}"
    random = {f.name.split(",")[0]: f.value for f in figures if f.name.endswith(", random")}
    fresh = []
    for f in figures:
        base = random.get(f.name.split(",")[0]) if f.name.endswith(("heard", "running", "negative", "unseen")) else None
        data = f"{f.mixtures} mixtures of two {split} sounds, -10 to 10 dB"
        fresh.append(Metric(f.name, f.value, "dB", data, command, base, None if base is None else "asked at random"))
    others = [m for m in card.metrics if not m.command.startswith(measured)]  # of however many mixtures
    return write_card(model, replace(card, metrics=(*others, *fresh)))


def replace_metrics(model: Path, card: ModelCard, command: str, fresh: Sequence[Metric]) -> ModelCard:
    """Write ``fresh`` into the card in place of what the same command gave before."""
    kept = [m for m in card.metrics if m.command != command]
    return write_card(model, replace(card, metrics=(*kept, *fresh)))
