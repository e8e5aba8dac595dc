"""CLAP's text tower, RoBERTa-base and its projection, from a published checkpoint, as a ``text`` model.

LAION's checkpoints name it ``text_branch.*`` and ``text_projection.{0,2}``, AudioSep's lie under
``query_encoder.model.``, transformers' call it ``text_model.*`` and ``text_projection.linear{1,2}``. None of them has
the tokenizer: RoBERTa's byte pairs, a tokenizer.json beside roberta-base.
"""

from dataclasses import replace
from pathlib import Path

from models.query.bert import ROBERTA, TextEncoder, TextSize, published_names
from streaming.card import Source
from streaming.errors import ModelError

from .checkpoint import State, a_few, hold_against, read_state, under
from .parity import Parity
from .text_encoder import text_card, write_text

WORDS = "embeddings.word_embeddings.weight"
PREFIXES = ("", "module.", "model.", "query_encoder.model.", "clap.")
BRANCHES = (
    ("text_branch.", ("text_projection.0", "text_projection.2")),
    ("text_model.", ("text_projection.linear1", "text_projection.linear2")),
)
KIND = "a checkpoint of CLAP with RoBERTa as its text tower"
DESCRIPTION = (
    "Sentences to embeddings that lie near those of the sounds they describe: CLAP's text tower, imported from its "
    "authors' checkpoint."
)
LICENCE = "as its authors say: https://github.com/LAION-AI/CLAP"
SOURCES = (Source("LAION-Audio-630K and others", "as their publishers say", "Wu et al., CLAP, ICASSP 2023"),)


def import_clap(checkpoint: Path, tokenizer: Path, folder: Path, name: str = "clap") -> list[Parity]:
    """Write ``folder/NAME.onnx``, proven, or nothing.

    Args:
        tokenizer: a tokenizer.json, of roberta-base.

    Raises:
        ModelError: it is another file, the tokenizer does not fit, or the ONNX file does not do what the weights do.
    """
    weights, size = load_clap(checkpoint)
    try:
        text = tokenizer.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{tokenizer}: cannot be read ({reason}); give roberta-base's tokenizer.json") from None
    card = text_card(name, size, DESCRIPTION, LICENCE, SOURCES)
    return write_text({k: v.numpy() for k, v in weights.items()}, size, text, card, folder)


def load_clap(checkpoint: Path) -> tuple[State, TextSize]:
    """The text tower's weights by RoBERTa's names, and its size. Raises `ModelError`."""
    everything = read_state(checkpoint)
    found = [
        (state, branch, projection)
        for branch, projection in BRANCHES
        if (state := under(everything, PREFIXES, f"{branch}{WORDS}")) is not None
    ]
    if not found:
        if any(name.startswith(("ss_model.", "base.")) for name in everything):
            raise ModelError(
                f"{checkpoint}: this is AudioSep without CLAP's text tower: sidechop models import audiosep "
                f"{checkpoint.name}; CLAP itself is music_speech_audioset_epoch_15_esc_89.98.pt"
            )
        raise ModelError(f"{checkpoint}: not {KIND}: no text_branch.{WORDS} in it, but {a_few(everything)}")
    state, branch, projection = found[0]
    weights = {name.removeprefix(branch): value for name, value in state.items() if name.startswith(branch)}
    for theirs, ours in zip(projection, ("projection.0", "projection.2"), strict=True):
        for part in ("weight", "bias"):
            if f"{theirs}.{part}" in state:
                weights[f"{ours}.{part}"] = state[f"{theirs}.{part}"]
    size = size_of(checkpoint, weights)
    names = published_names(size)
    expected = {names.get(k, k): tuple(v.shape) for k, v in TextEncoder(size).state_dict().items()}
    hold_against(checkpoint, weights, expected, KIND)
    return {name: weights[name].float() for name in expected}, size


def size_of(checkpoint: Path, weights: State) -> TextSize:
    """Read off the shapes; a head is 64 wide, as in all RoBERTas, or a quarter of a smaller width."""

    def rows(name: str) -> int:
        if name not in weights:
            raise ModelError(f"{checkpoint}: not {KIND}: no {name} of the text tower in it")
        return int(weights[name].shape[0])

    width = int(weights[WORDS].shape[1])
    return replace(
        ROBERTA,
        words=rows(WORDS),
        positions=rows("embeddings.position_embeddings.weight"),
        types=rows("embeddings.token_type_embeddings.weight"),
        inner=rows("encoder.layer.0.intermediate.dense.weight"),
        embedding=rows("projection.2.weight"),
        width=width,
        layers=len({name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}),
        heads=width // 64 if width % 64 == 0 else 4,
    )
