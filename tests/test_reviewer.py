"""The reviewer: what is said of frames, where edges are, that pieces make a whole, scenes, training, export."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_models import tiny_curves

from export.reviewer import EveryFrame, export_reviewer, folded
from models.flagger.network import FlagNetwork, Size
from models.flagger.reviewer import ROW_FRAMES, Reviewer, ReviewSize
from models.flagger.reviewing import Passages, ReviewSettings, loss_of, read_reviewer, save_reviewer, train_reviewer
from models.flagger.scenes import Shelf, assembled, draw_scenes
from models.flagger.song_spans import QUANTUM, Song, read_song, to_bytes, write_song
from streaming import reviewer as streaming_reviewer
from streaming.errors import ModelError
from streaming.features import MEL
from streaming.reviewer import CURVES, PIECE_FRAMES, Review
from streaming.session import OnnxModel

FRAME_S = 0.01
Curve = NDArray[np.float32]


def heard(*odd: tuple[int, int], length: int = 3000, edges: tuple[int, ...] = ()) -> Review:
    """A review in which frames ``odd`` score 0.9, the others 0.05, and edges are heard."""
    curve, edge = np.full(length, 0.05, np.float32), np.zeros(length, np.float32)
    for first, end in odd:
        curve[first:end] = 0.9
    for at in edges:
        edge[at - 2 : at + 2] = 0.8
    return Review(curve, edge, FRAME_S)


def test_the_odds_of_a_moment_are_the_mean_of_what_is_around_it() -> None:
    review = heard((1000, 1200))
    odds = review.odds(np.array([5.0, 10.0, 11.0, 29.99]), 0.16)
    low, high = np.log(0.05 / 0.95), np.log(9.0)
    np.testing.assert_allclose(odds, [low, (low + high) / 2, high, low], atol=1e-4)


@pytest.mark.parametrize("off_s", [-0.4, -0.1, 0.0, 0.2, 0.4])
def test_an_edge_goes_to_where_it_is_heard(off_s: float) -> None:
    review = heard((1000, 1200))
    assert review.edge_near(10 + off_s, rising=True) == pytest.approx(10, abs=0.03)
    assert review.edge_near(12 + off_s, rising=False) == pytest.approx(12, abs=0.03)
    told = heard((1000, 1200), edges=(1020,))
    assert told.edge_near(10 + off_s / 2, rising=True) == pytest.approx(10.2, abs=0.05)


def test_spans_keep_their_order_and_the_ends_of_the_file() -> None:
    review = heard((0, 500), (1000, 1030), (1050, 1400), (2800, 3000))
    spans = [(0.0, 5.2), (9.8, 10.3), (10.45, 14.1), (27.9, 30.0)]
    moved = review.spans_near(spans, 30.0, odd=True)
    assert (moved[0][0], moved[-1][1]) == (0.0, 30.0)
    edges = [edge for span in moved for edge in span]
    assert edges == sorted(edges)
    assert all(start < end for start, end in moved)
    np.testing.assert_allclose([moved[0][1], moved[2][1], moved[3][0]], [5, 14, 28], atol=0.05)


def test_edges_that_others_know_of_cost_little_and_none_is_lost() -> None:
    edge = np.full(1000, 0.02, np.float32)
    edge[300] = 0.9
    review = Review(np.zeros(1000, np.float32), edge, FRAME_S)
    told = review.with_edges([5 * 0.16, 300 * FRAME_S, -3.0, 1e6])
    before, after = (some.change_costs(100, 0.16) for some in (review, told))
    assert after[5] < before[5] - 50
    assert told.edge[300] == review.edge[300]
    np.testing.assert_array_equal(np.delete(after, [5, 6]), np.delete(before, [5, 6]))
    assert review.edge[round(5 * 0.16 / FRAME_S)] == np.float32(0.02)  # another review, not this one


@pytest.mark.parametrize("count", [1, 7, 80])
def test_a_change_costs_little_where_an_edge_is_heard(count: int) -> None:
    """One just before step 5 and one within half a step of 20's beginning; the rest is even, beyond the end too."""
    hop_s, edge = 0.16, np.zeros(1000, np.float32)
    edge[[round(4.5 * hop_s / FRAME_S), round(19.8 * hop_s / FRAME_S)]] = 0.9
    costs = Review(np.zeros(1000, np.float32), edge, FRAME_S).change_costs(count, hop_s)
    assert costs.shape == (count,)
    low = np.flatnonzero(costs < costs.max())
    np.testing.assert_array_equal(low, [at for at in (5, 20) if at < count])
    assert (costs[low] < costs.max() / 4).all()


def test_a_review_that_says_nothing_moves_little() -> None:
    even = Review(np.full(2000, 0.2, np.float32), np.zeros(2000, np.float32), FRAME_S)
    assert even.edge_near(9.0, rising=True) == pytest.approx(9.0, abs=0.02)
    assert Review(np.zeros(0, np.float32), np.zeros(0, np.float32), FRAME_S).edge_near(1.0, rising=True) == 1.0


@pytest.mark.parametrize("size", [1, 37, 4096])
def test_frames_in_pieces_are_reviewed_as_one(tmp_path: Path, size: int) -> None:
    model = tiny_curves(tmp_path / "review.onnx", curves=CURVES)
    frames = (
        np.random.default_rng(0).random((PIECE_FRAMES * 2 + 500 if size > 1 else 300, MEL.bands)).astype(np.float32)
    )
    reviewer = streaming_reviewer.Reviewer(model)
    reviewer.process(frames)
    whole = reviewer.finish()
    for i in range(0, len(frames), size):
        reviewer.process(frames[i : i + size])
    pieces = reviewer.finish()
    assert len(whole.odd) == len(frames)
    np.testing.assert_allclose(pieces.odd, whole.odd, atol=1e-3)  # it is kept in half precision
    assert len(reviewer.finish().odd) == 0


def test_other_models_are_no_reviewers(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a reviewer, odd, edge"):
        streaming_reviewer.Reviewer(tiny_curves(tmp_path / "chops.onnx"))


def song(seed: int, frames: int = 5000) -> Song:
    """Frames of a slow melody, with ten spans of family 0 at 6 and of family 1 at 0.5."""
    rng = np.random.default_rng(seed)
    level = (
        2 + np.sin(np.arange(frames)[:, None] / 60 + np.arange(MEL.bands) / 7) + rng.normal(0, 0.1, (frames, MEL.bands))
    )
    spans = np.array([(200 + 450 * i, 100 + 10 * i, i % 2) for i in range(10)], np.int32)
    worse = np.concatenate([np.full((count, MEL.bands), 0.5 if family else 6.0) for _, count, family in spans.tolist()])
    return Song(to_bytes(level), spans, to_bytes(worse))


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf([song(1), song(2)], [song(3, 3000)], [to_bytes(np.full((50, MEL.bands), 4.0))])


def test_a_song_comes_back_from_its_file(tmp_path: Path) -> None:
    write_song(song(4), tmp_path / "song.npz")
    for before, after in zip(song(4), read_song(tmp_path / "song.npz"), strict=True):
        np.testing.assert_array_equal(before, after)
    assert QUANTUM * 255 > 7.5  # full scale and more


def test_scenes_hang_on_their_seeds_and_stay_on_the_shelf(shelf: Shelf) -> None:
    rngs = [np.random.default_rng((0, i)) for i in range(300)]
    scenes = draw_scenes(rngs, shelf, frozenset((0, 1)), 2048)
    again = draw_scenes([np.random.default_rng((0, 7))], shelf, frozenset((0, 1)), 2048)
    for whole, one in zip(scenes, again, strict=True):
        np.testing.assert_array_equal(whole[7], one[0])
    assert 0 <= scenes.first.min() <= scenes.first.max() < len(shelf.frames)
    assert 0 <= scenes.second.min() <= scenes.second.max() < len(shelf.frames)
    assert scenes.place.max() < scenes.band_gains.shape[1]
    odd = (scenes.place > 0).reshape(300, -1, ROW_FRAMES).mean(axis=2)
    np.testing.assert_allclose(odd, scenes.odd)
    assert 0.03 < scenes.odd.mean() < 0.4
    changes = np.abs(np.diff(scenes.place > 0, axis=1)).sum()
    assert changes > 300  # edges are there …
    rows = np.argwhere(np.diff((scenes.place > 0).astype(int), axis=1) != 0)
    assert np.mean([scenes.edge[scene, (at + 1) // ROW_FRAMES] >= 0.5 for scene, at in rows]) > 0.99  # … and marked


def test_only_the_families_asked_for_are_put_in(shelf: Shelf) -> None:
    scenes = draw_scenes([np.random.default_rng((1, i)) for i in range(100)], shelf, frozenset((1,)), 2048)
    features = assembled(
        {n: torch.from_numpy(v) for n, v in scenes._asdict().items()}, torch.from_numpy(shelf.frames), False
    )
    _, _, spans, worse = shelf.songs[0]
    loud = worse + np.flatnonzero(np.repeat(spans[:, 2], spans[:, 1]) == 0)
    assert not np.isin(scenes.first, loud).any()
    assert features.shape == (100, 2048, MEL.bands)
    assert torch.isfinite(features).all()
    good = torch.from_numpy(scenes.place == 0)
    kept = torch.from_numpy(shelf.frames)[torch.from_numpy(scenes.first)].float() * QUANTUM
    torch.testing.assert_close(features[good], kept[good], atol=1e-3, rtol=1e-3)
    assert (features[~good] - kept[~good]).abs().mean() > 0.1


def test_training_lowers_the_loss_and_exports_what_it_trained(shelf: Shelf, tmp_path: Path) -> None:
    torch.manual_seed(0)
    ear = FlagNetwork(Size()).eval()
    settings = ReviewSettings(steps=10, batch=4, frames=1024, warm_up_steps=2, bf16=False, workers=0, ema_decay=0.5)
    checkpoint = train_reviewer(shelf, 2, settings, ear, tmp_path, [], quiet=True)
    trained, _ = read_reviewer(checkpoint)
    torch.manual_seed(0)
    fresh = Reviewer(ReviewSize())
    fresh.layers.load_state_dict(ear.layers.state_dict())
    batch = Passages(shelf, 2, settings).batch(3)
    torch.manual_seed(1)
    features = assembled(batch, torch.from_numpy(shelf.frames))
    with torch.no_grad():
        before, after = (float(loss_of(network.eval()(features), batch)) for network in (fresh, trained))
    assert after < before
    rows = export_reviewer(checkpoint, tmp_path, "trained")
    assert len(rows) == 9
    assert all(row.holds for row in rows)
    card = OnnxModel.open(tmp_path / "trained.onnx").card
    assert (card.kind, card.curves, 2 * card.context_frames + PIECE_FRAMES) == ("frames", CURVES, trained.size.frames)


def test_norms_fold_into_the_same_network_and_every_frame_has_its_rows_value() -> None:
    torch.manual_seed(3)
    network = Reviewer(ReviewSize()).train()
    network(torch.rand(2, 512, MEL.bands) * 4)
    frames = torch.rand(1, 333, MEL.bands) * 4
    with torch.no_grad():
        one, two = (EveryFrame(n).eval()(frames) for n in (network.eval(), folded(network)))
    assert one.shape == (1, 333, 2)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one[:, 0:4], one[:, :1].expand(-1, 4, -1))


def test_what_is_no_checkpoint_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        read_reviewer(tmp_path / "none.ckpt")
    (tmp_path / "bad.ckpt").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match="not a checkpoint of a reviewer"):
        read_reviewer(tmp_path / "bad.ckpt")
    path = save_reviewer(tmp_path / "good.ckpt", Reviewer(ReviewSize()), ReviewSettings(), [])
    assert read_reviewer(path)[1] == ()
