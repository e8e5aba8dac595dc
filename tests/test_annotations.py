"""What is known of a song and where a user cut a file: read as written, unknown kept apart from empty, errors clear."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("rpp", reason="labels need the train extra")

from models.chopper.annotations import load_truth
from models.chopper.labels import find_labelled, read_labels
from streaming.errors import AudioError, RequestError, SidechopError

PROJECT = """<REAPER_PROJECT 0.1 "6.75/linux-x86_64" 1668000000
  MARKER 1 1.5 verse 0
  MARKER 2 2 "" 0
  MARKER 3 3 region 1
  MARKER 3 4 "" 1
  MARKER 4 90 "after the item" 0
  <TRACK
    <ITEM
      POSITION 1
      LENGTH 4
      PLAYRATE 2 1 0 -1 0 0.0025
      SOFFS 0.25
      <SOURCE WAVE
        FILE "media\\loop.wav"
      >
      TKM 0.75 "a" 0 0
      TKM 5.5 "" 0 0
    >
    <ITEM
      POSITION 0
      LENGTH 100
      <SOURCE WAVE
        FILE "other.wav"
      >
      TKM 3.3 "not ours" 0 0
    >
  >
>
"""


def write_song(folder: Path, facts: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "song.json").write_text(facts if isinstance(facts, str) else json.dumps(facts))
    return folder


def test_unknown_is_not_empty(tmp_path: Path) -> None:
    facts = {
        "onsets": {"drums": [0.5, 1.0], "vocals": [], "bass": []},
        "beats": [0.0, 0.5],
        "downbeats": [],
        "phrases": [],
        "unannotated": ["vocals", "phrases"],
    }
    truth = load_truth(write_song(tmp_path / "song", facts))
    assert set(truth.onsets) == {"drums", "bass"}
    np.testing.assert_array_equal(truth.onsets["drums"], [0.5, 1.0])
    assert truth.onsets["bass"].dtype == np.float64
    assert truth.beats is not None
    assert truth.downbeats is not None
    assert len(truth.downbeats) == 0
    assert truth.phrases is None
    bare = load_truth(write_song(tmp_path / "bare", {"sources": []}))
    assert (bare.onsets, bare.beats) == ({}, None)
    assert load_truth(tmp_path / "nothing").onsets == {}


@pytest.mark.parametrize(
    "facts",
    [
        "{",
        "[]",
        {"onsets": [1.0]},
        {"onsets": {"drums": "soon"}},
        {"onsets": {"drums": [[1.0]]}},
        {"beats": [1.0, 0.5]},
        {"beats": [-1.0]},
        '{"beats": [NaN]}',
    ],
)
def test_annotations_that_cannot_be(tmp_path: Path, facts: object) -> None:
    with pytest.raises(AudioError, match=r"song\.json: "):
        load_truth(write_song(tmp_path, facts))


def labelled(folder: Path, name: str, text: str, seconds: float = 8.0) -> Path:
    """A silent ``loop.wav`` with labels beside it."""
    soundfile.write(folder / "loop.wav", np.zeros(int(seconds * 8000)), 8000)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "text", "times"),
    [
        ("loop.txt", "1.25\t1.25\tkick\n0.5\t0.75\t\n\\\t100\t200\n", [0.5, 1.25]),
        ("loop.txt", "\ufeff1.25\t1.25\tkick\r\n", [1.25]),
        ("loop.csv", "time,name\n1.5,a\n\n0.5,b\n0.5,c\n", [0.5, 1.5]),
        ("loop.csv", "2\n1\n", [1, 2]),
        ("loop.csv", "0.125\t1\n1e0\t2\n", [0.125, 1]),
        ("loop.csv", "#,Name,Start,End,Length\nM1,,0:01.500,,\nR1,x,0:00:02.250,0:04.000,0:02\n", [1.5, 2.25]),
        ("loop.TXT", "3\t3\t\n", [3]),
        # on the timeline at 1.5, 2 and 3; the item starts at 1, plays at double speed and from 0.25 of the file
        ("loop.rpp", PROJECT, [0.75, 1.25, 2.25, 4.25, 5.5]),
        ("whole session.RPP", PROJECT, [0.75, 1.25, 2.25, 4.25, 5.5]),
    ],
)
def test_labels_of_every_form(tmp_path: Path, name: str, text: str, times: list[float]) -> None:
    (found,) = find_labelled(labelled(tmp_path, name, text))
    assert found.audio == tmp_path / "loop.wav"
    np.testing.assert_allclose(found.times_s, times, rtol=0, atol=1e-12)


def test_folders_below_are_searched_and_unlabelled_audio_is_left(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    labelled(tmp_path / "a" / "b", "loop.txt", "1\t1\t\n")
    soundfile.write(tmp_path / "a" / "bare.wav", np.zeros(100), 8000)
    (found,) = find_labelled(tmp_path)
    assert found.audio == tmp_path / "a" / "b" / "loop.wav"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("loop.txt", "soon\t1\tkick\n", "line 1: expected a time in seconds, got 'soon'"),
        ("loop.csv", "time\n1\nx\n", "line 3"),
        ("loop.csv", "#,Name,Start\nM1,,3.1.00\n", "ruler"),
        ("loop.csv", "time,name\n", "holds no label"),
        ("loop.txt", "-1\t0\t\n", "from 0 on"),
        ("loop.txt", "9\t9\t\n", "8.00 s long, but a label lies at 9.00 s"),
        ("loop.rpp", "<REAPER_PROJECT 0.1\n", "not readable as a REAPER project"),
        ("loop.rpp", "<REAPER_PROJECT 0.1\n>\n", "holds no label"),
        ("notes.md", "", "no audio with labels"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(SidechopError, match=says):
        find_labelled(labelled(tmp_path, name, text))


def test_missing_folder_and_file(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such folder"):
        find_labelled(tmp_path / "none")
    with pytest.raises(AudioError, match=r"none\.txt"):
        read_labels(tmp_path / "none.txt", tmp_path / "none.wav")
