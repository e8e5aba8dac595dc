"""The choice of a device by name (on a list of our own), and the list itself from a real PortAudio."""

import json
import os
import subprocess
import sys

import pytest

from bridge.devices import Device, check_channels, choose_device, parse_channels
from streaming.errors import AudioError

WINDOWS = [
    Device(0, "Microsoft Sound Mapper - Input", "MME", 2, 0, 44100, default_input=True),
    Device(1, "Microphone (Scarlett 2i2)", "MME", 2, 0, 44100),
    Device(2, "Speakers (Scarlett 2i2)", "MME", 0, 2, 44100, default_output=True),
    Device(3, "Microphone (Scarlett 2i2)", "Windows WASAPI", 2, 0, 48000),
    Device(4, "Speakers (Scarlett 2i2)", "Windows WASAPI", 0, 2, 48000),
    Device(5, "Speakers (Realtek)", "Windows WASAPI", 0, 8, 48000),
    Device(6, "Focusrite USB ASIO", "ASIO", 4, 4, 48000),
    Device(7, "Speakers (Realtek) 2", "Windows WASAPI", 0, 2, 48000),
]


def error_of(*arguments: str, devices: list[Device] = WINDOWS) -> str:
    with pytest.raises(AudioError) as caught:
        choose_device(devices, *arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_name_is_the_default() -> None:
    assert choose_device(WINDOWS, "input").index == 0
    assert choose_device(WINDOWS, "output").index == 2


def test_without_a_default_the_preferred_host_api_comes_first() -> None:
    assert choose_device(WINDOWS[3:], "output").index == 6
    assert choose_device(WINDOWS, "output", host_api="wasapi").index == 4


def test_a_part_of_the_name_in_any_case_and_the_better_host_api() -> None:
    assert choose_device(WINDOWS, "input", "scarlett").index == 3
    assert choose_device(WINDOWS, "output", "SCARLETT").index == 4
    assert choose_device(WINDOWS, "input", "scarlett", host_api="mme").index == 1


def test_a_whole_name_beats_a_part_of_another() -> None:
    assert choose_device(WINDOWS, "output", "speakers (realtek)").index == 5


def test_an_index_tells_twins_apart() -> None:
    assert choose_device(WINDOWS, "output", "7").index == 7
    assert "index 3" in error_of("output", "3")


def test_an_ambiguous_name_lists_what_it_fits() -> None:
    text = error_of("output", "speakers")
    assert "fits 3 output devices" in text
    assert "'Speakers (Realtek)'" in text
    assert "WASAPI" in text


def test_a_name_that_is_not_there_lists_what_comes_close() -> None:
    assert "Focusrite USB ASIO" in error_of("output", "Focusrite ASIO USB")
    assert "Microphone (Scarlett 2i2)" in error_of("input", "zzz")
    assert "on asio" in error_of("input", "Scarlett", "asio")


def test_no_device_at_all() -> None:
    assert "`sidechop devices`" in error_of("input", devices=[])
    assert "no input device on jack" in error_of("input", "", "jack")


def test_channels_are_counted_from_one() -> None:
    assert parse_channels("1,2") == (0, 1)
    assert parse_channels("4") == (3,)
    for wrong in ("", "0", "1,2,3", "a", "1,-1", "1.5"):
        with pytest.raises(AudioError, match="such as 1,2"):
            parse_channels(wrong)
    check_channels(WINDOWS[5], "output", (6, 7))
    with pytest.raises(AudioError, match="has 8 output channels; channel 9"):
        check_channels(WINDOWS[5], "output", (7, 8))


def test_without_portaudio_the_message_says_how_to_get_it() -> None:
    """In a process of its own, where the loader is told that there is no such library."""
    script = """
import ctypes.util, sys, _cffi_backend
ctypes.util.find_library = lambda name: None
from bridge.devices import list_devices
from streaming.errors import AudioError
try:
    list_devices()
except AudioError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    if not done.stdout and sys.platform != "linux":
        pytest.skip("sounddevice brings its own PortAudio here")
    assert "PortAudio" in done.stdout
    if sys.platform == "linux":
        assert "libportaudio2" in done.stdout


def test_importing_the_list_does_not_start_portaudio() -> None:
    script = "import sys, bridge.devices, bridge.command_devices; print('sounddevice' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"


def test_a_jack_server_shows_up_with_its_clients(jack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh process lists the private server and a client of it; the choice finds them by name."""
    import jack as jack_client

    client = jack_client.Client("Tape Machine", servername=jack, no_start_server=True)
    client.outports.register("left")
    client.outports.register("right")
    with client:
        script = """
import dataclasses, json
from bridge.devices import list_devices
print(json.dumps([dataclasses.asdict(device) for device in list_devices()]))
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        command = [sys.executable, "-m", "bridge.cli", "devices"]
        shown = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
        table = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "160"}
        )
    devices = [Device(**row) for row in json.loads(done.stdout)]
    assert json.loads(shown.stdout) == {"devices": json.loads(done.stdout)}
    assert "Tape Machine" in table.stdout
    assert shown.stderr == table.stderr == ""
    system = choose_device(devices, "output", "system", "jack")
    assert (system.host_api, system.outputs, system.rate) == ("JACK Audio Connection Kit", 2, 48000)
    tape = choose_device(devices, "input", "tape")
    assert (tape.name, tape.inputs) == ("Tape Machine", 2)
    assert done.stderr == ""


def test_the_real_list_is_sound() -> None:
    """Whatever this machine has; in a process of its own, for PortAudio dies hard when a JACK server does."""
    script = "from bridge.devices import list_devices; print(len(list_devices()), list_devices() == list_devices())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if "apt-get install libportaudio2" in done.stderr:
        pytest.skip("no PortAudio here")
    assert done.returncode == 0
    assert done.stdout.split()[1] == "True"
