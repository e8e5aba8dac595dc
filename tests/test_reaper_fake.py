"""The REAPER of the tests does what the documented one does: offsets, undo, order, pointers, defer, accessors."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from reaper_api import Api, command_words
from reaper_project import AUTO_FADE_S, Project, Source
from reaper_script import Script

RATE = 8000


@pytest.fixture
def take_file(tmp_path: Path) -> Path:
    path = tmp_path / "take.wav"
    soundfile.write(path, np.arange(4 * RATE) / (8 * RATE), RATE, subtype="FLOAT")
    return path


@pytest.fixture
def api(tmp_path: Path) -> Api:
    (tmp_path / "Scripts" / "Sidechop").mkdir(parents=True)
    return Api(tmp_path, tmp_path / "project")


def script(api: Api, text: str) -> Script:
    (api.resources / "Scripts" / "Sidechop" / "Sidechop_test.lua").write_text(text)
    return Script(api, "test")


@pytest.mark.parametrize("rate", [0.5, 1.0, 1.7])
def test_a_split_moves_the_offset_by_time_times_rate(take_file: Path, rate: float) -> None:
    project = Project()
    item = project.add_item(project.add_track(), take_file, 10.0, 2.0, offset=0.25, rate=rate)
    assert item.take is not None
    item.take.markers.append((1.0, "m", 0))
    item.values["D_FADEOUTLEN"] = 0.3
    right = project.split(item, 10.5)
    assert right is not None
    assert right.take is not None
    assert (item.start, item.end, right.start, right.end) == (10.0, 10.5, 10.5, 12.0)
    assert right.take.values["D_STARTOFFS"] == 0.25 + 0.5 * rate
    assert right.take.markers == item.take.markers  # places of the source
    assert (right.values["D_FADEOUTLEN"], item.values["D_FADEOUTLEN"]) == (0.3, 0.0)
    assert item.values["D_FADEOUTLEN_AUTO"] == right.values["D_FADEINLEN_AUTO"] == AUTO_FADE_S
    for outside in (10.0, 9.0, 10.5, 13.0):
        assert project.split(item, outside) is None


def test_undo_puts_everything_back_and_old_pointers_are_invalid(api: Api, take_file: Path) -> None:
    item = api.project.add_item(api.project.add_track("a"), take_file, 1.0, 2.0)
    api.project.settle()
    script(
        api,
        """
        local item = reaper.GetSelectedMediaItem(0, 0)
        assert(item == reaper.GetMediaItem(0, 0), "one thing, one pointer")
        reaper.Undo_BeginBlock2(0)
        reaper.Undo_BeginBlock2(0)
        local right = reaper.SplitMediaItem(item, 2.0)
        reaper.AddProjectMarker2(0, false, 2.0, 0, "m", -1, 0)
        reaper.Undo_EndBlock2(0, "inner", -1)
        reaper.Undo_EndBlock2(0, "outer", -1)
        assert(reaper.ValidatePtr2(0, right, "MediaItem*"))
        reaper.DeleteTrackMediaItem(reaper.GetMediaItem_Track(right), right)
        assert(not reaper.ValidatePtr2(0, right, "MediaItem*"))
        assert(not pcall(reaper.GetMediaItemInfo_Value, right, "D_LENGTH"), "a pointer to nothing")
        assert(not pcall(reaper.GetMediaItemInfo_Value, item, "D_NONSENSE"), "no such value")
        assert(not pcall(reaper.GetActiveTake), "too few arguments")
        """,
    )
    assert [name for name, _ in api.project.undo_steps] == ["outer"]
    assert api.project.edits_outside == 1  # the deletion
    assert api.project.undo() == "outer"
    (back,) = api.project.items
    assert (back.guid, back.length, api.project.state.markers) == (item.guid, 2.0, [])
    assert not api.is_valid(item)


def test_markers_are_in_the_order_of_time_and_numbered_by_kind(api: Api) -> None:
    add = api.project.add_marker
    assert [add(False, 3.0, 0, "c", -1, 0), add(True, 1.0, 2.0, "r", -1, 0), add(False, 1.5, 0, "b", -1, 0)] == [
        1,
        1,
        2,
    ]
    script(
        api,
        """
        local after, region, position, stop, name, number = reaper.EnumProjectMarkers3(0, 0)
        assert(after == 1 and region and position == 1.0 and stop == 2.0 and name == "r" and number == 1)
        assert(select(5, reaper.EnumProjectMarkers3(0, 1)) == "b")
        assert(reaper.EnumProjectMarkers3(0, 3) == 0)
        assert(reaper.SetProjectMarker4(0, 1, false, 0.5, 0, "first", 7, 0))
        assert(select(5, reaper.EnumProjectMarkers3(0, 0)) == "first")
        assert(not reaper.DeleteProjectMarker(0, 9, true))
        assert(reaper.DeleteProjectMarker(0, 1, true))
        """,
    )
    assert [(m.name, m.region) for m in api.project.state.markers] == [("first", False), ("b", False)]


def test_deferred_functions_wait_for_the_next_turn_and_exit_comes_last(api: Api) -> None:
    running = script(
        api,
        """
        local turns = 0
        reaper.SetExtState("t", "turns", "0", false)
        local function turn()
          turns = turns + 1
          reaper.SetExtState("t", "turns", tostring(turns), false)
          if turns < 3 then reaper.defer(turn) end
        end
        reaper.atexit(function() reaper.SetExtState("t", "end", reaper.GetExtState("t", "turns"), false) end)
        reaper.defer(turn)
        """,
    )
    seen = []
    while running.running:
        seen.append((api.ext["t", "turns"], ("t", "end") in api.ext))
        running.turn()
    assert seen == [("0", False), ("1", False), ("2", False)]
    assert api.ext["t", "end"] == "3"


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("offset", "rate", "loops"), [(0.0, 1.0, False), (0.5, 1.0, True), (0.25, 2.0, False)])
def test_an_accessor_reads_what_the_take_sounds_like(
    api: Api, take_file: Path, backwards: bool, offset: float, rate: float, loops: bool
) -> None:
    section = Source.of_file(take_file).section(1.0, 2.0, backwards)
    api.project.add_item(api.project.add_track(), section, 5.0, 3.0, offset, rate, loops)
    script(
        api,
        """
        local take = reaper.GetActiveTake(reaper.GetMediaItem(0, 0))
        local accessor, buffer = reaper.CreateTakeAudioAccessor(take), reaper.new_array(3 * 8000)
        buffer.clear()
        assert(reaper.GetAudioAccessorSamples(accessor, 8000, 1, 0.0, 3 * 8000, buffer) == 1)
        heard = buffer.table(1, 3 * 8000)
        reaper.DestroyAudioAccessor(accessor)
        for i, value in ipairs(heard) do
          reaper.SetExtState("heard", tostring(i - 1), ("%.17g"):format(value), false)
        end
        """,
    )
    inside = np.arange(RATE, 3 * RATE) / (8 * RATE)
    inside = inside[::-1] if backwards else inside
    for i in (0, 1, RATE // 2, RATE, 2 * RATE - 1, 2 * RATE + 5, 3 * RATE - 1):
        place = round((offset + i / RATE * rate) * RATE)
        wanted = inside[place % len(inside)] if loops else inside[place] if place < len(inside) else 0.0
        assert abs(float(api.ext["heard", str(i)]) - wanted) < 1e-7


def test_a_command_line_is_split_at_spaces_outside_of_quotes() -> None:
    assert command_words('"/a b/c" osc "--start=--x y" 12') == ["/a b/c", "osc", "--start=--x y", "12"]
