"""AudioSep's published checkpoint as an ONNX file with its card.

A lightning checkpoint holds the network under ``ss_model.base.*`` and ``ss_model.film.*``, with its frozen transforms,
which the engine has itself, and CLAP beside it under ``query_encoder.*``. Widths and lengths are read off the shapes,
so that a smaller network of the same making is taken, too.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from models.query.resunet import HOP, TIME_HALVINGS, ResUNet30
from streaming.card import Source
from streaming.errors import ModelError

from .checkpoint import State, a_few, hold_against, read_state, under
from .parity import Parity, must_hold
from .query_clip import FRAMES, HOP_FRAMES, clip_card, write_clip

PREFIXES = ("ss_model.", "model.ss_model.", "module.ss_model.", "")
FIRST = "base.pre_conv.weight"
KIND = "a checkpoint of AudioSep's ResUNet30"
DESCRIPTION = (
    "AudioSep, what you describe, from files: trained by its authors on 14,000 hours of captioned sound, told by "
    "CLAP's embedding of a sentence. Imported from their checkpoint."
)
LICENCE = "as its authors say: https://github.com/Audio-AGI/AudioSep"
SOURCES = (
    Source(
        "AudioSet, AudioCaps, VGGSound, Clotho, WavCaps",
        "as their publishers say",
        'Liu et al., "Separate Anything You Describe", 2023',
        14000,
    ),
)
WINDOW_LIMIT = 1e-3


def import_audiosep(
    checkpoint: Path,
    folder: Path,
    name: str = "audiosep",
    text_encoder: str = "clap",
    frames: int | None = None,
    hop_frames: int | None = None,
) -> list[Parity]:
    """Write ``folder/NAME.onnx``, proven, or nothing.

    Args:
        text_encoder: the model that reads its queries, as `sidechop models import clap` names it.
        frames, hop_frames: of a clip, and from one to the next.

    Raises:
        ModelError: it is another file, or the ONNX file does not do what the checkpoint does.
    """
    network = load_audiosep(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    lengths = frames or FRAMES, hop_frames or HOP_FRAMES
    card = clip_card(network, name, DESCRIPTION, LICENCE, SOURCES, text_encoder, *lengths)
    with TemporaryDirectory(dir=folder, prefix=".import-") as aside:
        file = Path(aside) / f"{name}.onnx"
        rows = write_clip(network, file, card)
        must_hold(rows)
        os.replace(file, folder / file.name)
    return rows


def load_audiosep(checkpoint: Path) -> ResUNet30:
    """The network with the checkpoint's weights. Raises `ModelError`."""
    everything = read_state(checkpoint)
    state = under(everything, PREFIXES, FIRST)
    if state is None:
        if any("text_branch." in name or name.startswith("text_model.") for name in everything):
            raise ModelError(
                f"{checkpoint}: this is CLAP, which reads the queries: sidechop models import clap {checkpoint.name}; "
                "AudioSep itself is audiosep_base_4M_steps.ckpt"
            )
        raise ModelError(
            f"{checkpoint}: not {KIND}: no ss_model.{FIRST} in it, but {a_few(everything)}; it is published as "
            "audiosep_base_4M_steps.ckpt"
        )
    network = ResUNet30(*sizes(checkpoint, state))
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    hold_against(checkpoint, state, expected, KIND)
    check_transform(checkpoint, state, network.fft)
    network.load_state_dict({name: state[name] for name in expected})
    return network.eval()


def sizes(checkpoint: Path, state: State) -> tuple[tuple[int, ...], int, int, int, int]:
    """Widths, bottleneck, length of the condition, FFT and hop. The hop is nowhere in the file; it is the published."""
    encoders = range(1, TIME_HALVINGS + 2)
    names = [f"base.encoder_block{i}.conv_block1.conv2.weight" for i in encoders]
    names += ["base.conv_block7a.conv_block1.conv2.weight", "base.bn0.weight"]
    film = "film.encoder_block1->conv_block1->beta1.weight"
    for name in (*names, film):
        if name not in state:
            raise ModelError(f"{checkpoint}: not {KIND}: no {name} in it")
    *widths, bottleneck, bins = (int(state[name].shape[0]) for name in names)
    fft = 2 * (bins - 1)
    if fft < 2 * HOP:
        raise ModelError(f"{checkpoint}: its spectra have {bins} bins, too few for frames {HOP} samples apart")
    return tuple(widths), bottleneck, int(state[film].shape[1]), fft, HOP


def check_transform(checkpoint: Path, state: State, fft: int) -> None:
    """The frozen transform, where the file has it, is the one that the engine makes. Raises `ModelError`."""
    kernel = state.get("base.stft.conv_real.weight")
    if kernel is None:
        return
    if tuple(kernel.shape) != (fft // 2 + 1, 1, fft):
        raise ModelError(f"{checkpoint}: its transform is {tuple(kernel.shape)}, expected {(fft // 2 + 1, 1, fft)}")
    if float((kernel[0, 0] - torch.hann_window(fft)).abs().max()) > WINDOW_LIMIT:
        raise ModelError(f"{checkpoint}: its transform has another window than Hann's over {fft} samples")
