"""What a query model is asked for, and what the engine makes of it: thirds of the spectrum, as `tiny_query` gives."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import QUERY_WINDOWS, UNKNOWN_GAIN, WORDS, thirds, tiny_query, tiny_query_clip

from streaming.engine import Engine
from streaming.errors import CardError, ModelError, RequestError
from streaming.queries import EMBEDDING_MAX, QUERY_DTYPE, Queries
from streaming.query_clip import ClipBands
from streaming.query_network import FilmLayers, claim_no_more
from streaming.session import OnnxModel

Audio = NDArray[np.float32]
RATE = 44100
WORD = {word: np.eye(len(WORDS), dtype=np.float32)[i] for i, word in enumerate(WORDS)}
UNKNOWN = WORD["[UNK]"]


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE) -> Audio:
    t = np.arange(int(seconds * rate)) / rate
    return np.asarray(0.3 * np.sin(2 * np.pi * hertz * t), np.float32)


def stereo(*tones: Audio) -> Audio:
    return np.stack([sum(tones), sum(tones) * np.float32(0.5)])


def separate(engine: Engine, mix: Audio, block: int = 512, rate: int = RATE) -> Audio:
    """Every output ``(outputs, channels, n)``, the latency taken away."""
    engine.prepare(rate, block, len(mix))
    parts = [engine.process(mix[:, i : i + block])[1].copy() for i in range(0, mix.shape[1], block)]
    return np.concatenate([*parts, engine.flush()[1]], axis=2)[:, :, engine.latency_samples :]


LOW, MID, HIGH = tone(1000), tone(11000), tone(19000)
INSIDE = slice(4096, -4096)
"""Where no window reaches over an end."""


@pytest.fixture(params=[1, 3, 4])
def rows(request: pytest.FixtureRequest) -> int:
    """How many queries a run of the network answers: one, fewer than there can be, all."""
    return int(request.param)


@pytest.fixture
def live(tmp_path: Path, rows: int) -> Engine:
    return Engine(tiny_query(tmp_path / "tiny-query.onnx", rows=rows), queries=Queries())


def test_two_queries_and_the_rest_sum_to_the_mix(live: Engine) -> None:
    mix = stereo(LOW, MID, HIGH)
    live.queries.ask(0, WORD["low"], text="low")
    live.queries.ask(1, WORD["high"], text="high")
    first, second, rest = separate(live, mix)
    assert live.outputs == ("query", "query 2", "rest")
    assert live.latency_samples == 2 * QUERY_WINDOWS.hop_samples == 768
    for got, expected in ((first, LOW), (second, HIGH), (rest, MID)):
        assert np.abs(got - stereo(expected))[:, INSIDE].max() < 1e-4  # what leaks between the tones' windows
    assert np.abs(first + second + rest - mix).max() < 1e-6


def test_what_is_not_asked_for_is_silent_and_costs_no_run(
    live: Engine, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = stereo(LOW)
    engine_runs = []
    run = OnnxModel.run
    live.prepare(RATE, 512, 2)  # which runs it to warm up
    monkeypatch.setattr(OnnxModel, "run", lambda self: (engine_runs.append(self), run(self))[1])
    live.process(mix[:, :512])
    assert not engine_runs
    live.queries.ask(1, UNKNOWN)
    live.process(mix[:, 512:896])
    assert len(engine_runs) == 1
    live.queries.ask(0, UNKNOWN, WORD["mid"])
    live.process(mix[:, 896:1280])
    three = 3 if rows == 1 else 1
    assert len(engine_runs) == 1 + three
    live.queries.clear(0)
    live.queries.clear(1)
    live.process(mix[:, 1280:1664])
    assert len(engine_runs) == 1 + three
    outputs = separate(live, mix)
    assert not outputs[:2].any()
    np.testing.assert_array_equal(outputs[2], mix)


def test_a_query_changes_at_the_next_hop_and_fades_over_one(live: Engine) -> None:
    """A constant shows the gain as it crosses over: within one hop, and no steeper than it must."""
    mix = np.full((2, 40 * 384), 0.5, np.float32)  # all of it in the lowest bin
    live.queries.ask(0, WORD["low"])
    live.prepare(RATE, 384, 2)
    heard = []
    for i in range(40):
        if i == 20:
            live.queries.ask(0, UNKNOWN)
        heard.append(live.process(mix[:, i * 384 : (i + 1) * 384])[1][0, 0].copy())
    out = np.concatenate(heard)[live.latency_samples :]
    out = out[8 * 384 : -4096]  # the first windows are not full yet, the last are no more
    changed = np.flatnonzero(np.abs(out - 0.5) > 1e-4)[0] + 8 * 384
    settled = np.flatnonzero(np.abs(out - 0.5 * UNKNOWN_GAIN) > 1e-4)[-1] + 8 * 384
    # The frame that hop 20 completes is the first that is told; its last two hops are heard, the first of them fading.
    assert 19 * 384 <= changed < 19 * 384 + 20
    assert 20 * 384 - 20 <= settled < 20 * 384
    steepest = np.pi / 2 / 384 * (1 - UNKNOWN_GAIN) * 0.5  # of a raised cosine from the one to the other
    assert np.abs(np.diff(out)).max() < 1.1 * steepest


@pytest.mark.parametrize("block", [1, 65, 384, 2048])
def test_chunks_equal_one_shot(tmp_path: Path, block: int) -> None:
    path = tiny_query(tmp_path / "counting.onnx", counting=True)
    mix = np.random.default_rng(block).standard_normal((2, 9000)).astype(np.float32) * 0.1
    results = []
    for size in (block, 4096):
        engine = Engine(path)
        engine.queries.ask(0, WORD["low"], WORD["mid"])
        results.append(separate(engine, mix, size))
    np.testing.assert_array_equal(results[0], results[1])


def test_a_query_begins_afresh_and_goes_on_when_it_changes(tmp_path: Path) -> None:
    """The state counts hops: 0 when a slot is first asked for, carried on when the words change."""
    engine = Engine(tiny_query(tmp_path / "counting.onnx", counting=True))
    mix = np.full((2, 384), 0.5, np.float32)

    def level() -> float:
        return float(engine.process(mix)[1][0, 0, -1])

    engine.prepare(RATE, 384, 2)
    for _ in range(20):
        assert level() == 0
    engine.queries.ask(0, WORD["low"])
    rising = [level() for _ in range(20)]
    assert rising[0] < 0.01
    assert 0.45 < rising[-1] < 0.5
    engine.queries.ask(0, WORD["[UNK]"])
    assert level() > 0.4 * UNKNOWN_GAIN
    engine.queries.clear(0)
    for _ in range(3):
        level()
    engine.queries.ask(0, WORD["low"])
    assert level() < 0.01


def test_not_what_is_not_wanted(live: Engine) -> None:
    """Everything a little, but not the middle: there P is 1/4 and N is 1, so a 17th of the mix is left."""
    mix = stereo(LOW, MID)
    live.queries.ask(0, UNKNOWN, WORD["mid"])
    got = separate(live, mix)[0]
    expected = UNKNOWN_GAIN * LOW + MID * (UNKNOWN_GAIN**2 / (UNKNOWN_GAIN**2 + 1))
    assert np.abs(got - stereo(expected))[:, INSIDE].max() < 1e-3


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_strength_goes_from_the_mix_to_the_query(live: Engine, strength: float) -> None:
    mix = stereo(LOW, MID)
    live.queries.ask(0, WORD["mid"])
    live.queries.set_strength(0, strength)
    got = separate(live, mix)[0]
    assert np.abs(got - stereo(MID + (1 - strength) * LOW))[:, INSIDE].max() < 1e-4


def test_two_queries_for_one_sound_share_it(live: Engine) -> None:
    mix = stereo(LOW)
    for slot in (0, 1):
        live.queries.ask(slot, WORD["low"])
    first, second, rest = separate(live, mix)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - mix / 2)[:, INSIDE].max() < 1e-4
    assert np.abs(rest)[:, INSIDE].max() < 1e-4


def test_claims_are_lowered_only_where_they_are_too_many() -> None:
    rng = np.random.default_rng(0)
    frame, stems = (
        (rng.standard_normal((n, 2, 50)) + 1j * rng.standard_normal((n, 2, 50))).astype(np.complex64) for n in (1, 3)
    )
    before = stems.copy()
    claim_no_more(frame[0], stems)
    there = np.maximum(np.abs(frame[0]), np.abs(before).max(0))
    assert (np.abs(stems).sum(0) <= there * (1 + 1e-5)).all()
    modest = np.abs(before).sum(0) <= there
    assert modest.any()
    np.testing.assert_array_equal(stems[:, modest], before[:, modest])


@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (88200, 2), (96000, 1)])
def test_sessions_at_other_rates_and_widths(live: Engine, rate: int, channels: int) -> None:
    low, high = tone(2000, rate=rate), tone(0.36 * min(rate, 48000 if rate % 48000 == 0 else 44100), rate=rate)
    mix = stereo(low, high)[:channels]
    live.queries.ask(0, WORD["low"])
    got = separate(live, mix, rate=rate)[0]
    assert np.abs(got - stereo(low)[:channels])[:, 8192:-8192].max() < 1e-3


def test_strength_at_twice_the_rate_leaves_what_lies_above_the_network(live: Engine) -> None:
    mix = stereo(tone(2000, rate=88200), tone(30000, rate=88200))
    live.queries.ask(0, WORD["mid"])
    live.queries.set_strength(0, 0.5)
    got = separate(live, mix, rate=88200)[0]
    assert np.abs(got - mix / 2)[:, 8192:-8192].max() < 1e-3


def test_an_embedding_for_another_model_is_asked_in_vain(live: Engine) -> None:
    live.queries.ask(0, np.ones(7, np.float32))
    assert not separate(live, stereo(LOW))[0].any()


def test_wrong_queries_are_refused() -> None:
    queries = Queries()
    with pytest.raises(RequestError, match="no query 3; there is room for 2"):
        queries.ask(2, UNKNOWN)
    with pytest.raises(RequestError, match="room for 1024"):
        queries.ask(0, np.zeros(EMBEDDING_MAX + 1, np.float32))
    with pytest.raises(RequestError, match="4 numbers, what is not 3"):
        queries.ask(0, UNKNOWN, UNKNOWN[:3])
    with pytest.raises(RequestError, match="outside 0 to 1"):
        queries.set_strength(0, 1.5)
    assert queries.version(0) == 0


def test_a_reader_never_sees_half_a_query() -> None:
    """One thread writes embeddings of one number throughout; whoever reads gets such, or is told to wait."""
    queries = Queries(block=np.zeros(2, QUERY_DTYPE))
    stop = threading.Event()

    def write() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            value = np.full(EMBEDDING_MAX, count, np.float32)
            queries.ask(0, value, value, str(count), str(count))

    writer = threading.Thread(target=write)
    writer.start()
    whole = 0
    try:
        limit = time.monotonic() + 10
        while whole < 200 and time.monotonic() < limit:
            time.sleep(1e-4)  # lets the other thread on, wherever it stands
            asked = queries.read(0)
            if asked is not None and asked.positive is not None and asked.negative is not None:
                whole += 1
                both = np.concatenate([asked.positive, asked.negative])
                assert (both == both[0]).all()
                assert asked.text == asked.negative_text == str(int(both[0]))
    finally:
        stop.set()
        writer.join()
    assert whole == 200


def test_words_are_cut_between_letters() -> None:
    queries = Queries()
    queries.ask(0, UNKNOWN, text="ü" * 200)
    asked = queries.read(0)
    assert asked is not None
    assert asked.text == "ü" * 128


def test_the_film_is_made_of_the_files_own_layers(tmp_path: Path) -> None:
    film = FilmLayers(OnnxModel.open(tiny_query(tmp_path / "tiny.onnx")))
    embedding = np.asarray([0.5, -0.25, 1, 0], np.float32)
    np.testing.assert_allclose(film(embedding), np.maximum(embedding, 0), atol=1e-7)


def test_a_card_must_have_an_output_for_each_row_of_its_condition(tmp_path: Path) -> None:
    card = OnnxModel.open(tiny_query(tmp_path / "tiny.onnx", rows=3)).card
    stems = card.outputs[0]
    short = replace(card, outputs=(replace(stems, shape=(1, 1, *stems.shape[2:])), *card.outputs[1:]))
    with pytest.raises(CardError, match=r"outputs\[0\].shape: is \(1, 1, 2, \d+, 2\), not \(1, 3, "):
        short.check()


def clip_engine(tmp_path: Path, names: tuple[str, ...] = ("query",), rows: int = 1) -> Engine:
    return Engine(tiny_query_clip(tmp_path / "tiny-clip.onnx", rows=rows), queries=Queries(names))


@pytest.mark.parametrize("rate", [32000, 44100, 48000, 96000])
def test_clips_have_no_seams_at_any_rate(tmp_path: Path, rate: int) -> None:
    """Over many clips, on both channels, above the network's band too: what is asked for comes out as it went in."""
    engine = clip_engine(tmp_path, ("low", "high"))
    engine.queries.ask(0, WORD["low"])
    engine.queries.ask(1, WORD["high"])
    low, high = tone(700, 4, rate), tone(13500, 4, rate)
    mix = stereo(low, high)
    first, second, rest = separate(engine, mix, 4096, rate)
    inside = slice(rate // 2, -rate // 2)
    assert np.abs(first - stereo(low))[:, inside].max() < 2e-3
    assert np.abs(second - stereo(high))[:, inside].max() < 2e-3
    assert np.abs(first + second + rest - mix).max() < 1e-6


@pytest.mark.parametrize("rows", [2, 3, 4, 7])
def test_what_a_clip_is_asked_is_answered_in_as_few_runs_as_it_takes(
    tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three queries, two of them with what they are not: five rows, and the same whatever a run holds."""
    runs: list[int] = []
    run = OnnxModel.run
    monkeypatch.setattr(OnnxModel, "run", lambda model: (runs.append(1), run(model)))
    mix = stereo(tone(700, 2, 32000), tone(13500, 2, 32000))
    heard = []
    for each in (1, rows):
        engine = clip_engine(tmp_path, ("one", "two", "three"), each)
        engine.queries.ask(0, WORD["low"] + WORD["high"], WORD["high"])
        engine.queries.ask(1, WORD["low"], WORD["high"])
        engine.queries.ask(2, WORD["high"])
        runs.clear()
        heard.append((separate(engine, mix, 4096, 32000), len(runs)))
    (apart, singly), (together, at_once) = heard
    np.testing.assert_allclose(together, apart, atol=1e-7)
    assert np.abs(apart[:3]).max(axis=(1, 2)).min() > 0.1  # each of them gives something
    assert singly == 5 * at_once / -(-5 // rows) > 0


def test_left_and_right_are_heard_apart(tmp_path: Path) -> None:
    engine = clip_engine(tmp_path)
    engine.queries.ask(0, WORD["low"])
    mix = np.stack([tone(700, 2, 48000), tone(13500, 2, 48000)])
    got = separate(engine, mix, 4096, 48000)[0]
    inside = slice(24000, -24000)
    assert np.abs(got[0] - mix[0])[inside].max() < 2e-3
    assert np.abs(got[1])[inside].max() < 2e-3


def test_what_lies_above_the_band_follows_the_top_of_it(tmp_path: Path) -> None:
    """A hit of noise at 13 kHz and above, twice: asked for what is high, all of it comes back, and nothing else."""
    rate, rng = 48000, np.random.default_rng(1)
    noise = rng.standard_normal(4 * rate)
    spectrum = np.fft.rfft(noise)
    spectrum[: (11500 * 4)] = 0
    hits = np.fft.irfft(spectrum) * (np.arange(4 * rate) % (2 * rate) > 1.5 * rate)
    mix = stereo(np.asarray(0.1 * hits, np.float32), tone(700, 4, rate))
    above = np.zeros_like(mix)
    for word, least_db, most_db in (("high", -1.0, 1.0), ("low", -np.inf, -40.0)):
        engine = clip_engine(tmp_path)
        engine.queries.ask(0, WORD[word])
        got = np.fft.rfft(separate(engine, mix, 4096, rate)[0])[:, (17000 * 4) :]
        above = np.fft.rfft(mix)[:, (17000 * 4) :]
        db = 20 * np.log10(np.linalg.norm(got) / np.linalg.norm(above) + 1e-9)
        assert least_db <= db <= most_db, word


def test_bands_give_back_what_went_down() -> None:
    rng = np.random.default_rng(2)
    bands = ClipBands(44100, 32000)
    clip = rng.standard_normal(44100).astype(np.float32)
    spectrum = np.fft.rfft(bands.up(bands.down(clip))) / np.fft.rfft(clip)
    np.testing.assert_allclose(spectrum[1:15000], 1, atol=1e-3)
    assert np.abs(spectrum[16001:]).max() < 1e-4


def test_a_rate_that_a_clip_cannot_have_is_refused(tmp_path: Path) -> None:
    engine = clip_engine(tmp_path)
    with pytest.raises(ModelError, match="runs at 32000, 44100, 48000, 88200, 96000 Hz, not at 22050"):
        engine.prepare(22050, 512, 1)


def test_thirds_cover_the_spectrum() -> None:
    """The tests above lean on it."""
    assert (thirds(1025)[1:].sum(0) == 1).all()
