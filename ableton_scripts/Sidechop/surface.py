"""The control surface that Live runs: its tick every 100 ms, its MIDI, its status bar.

All work is done in `update_display`, on Live's own thread, in steps that never wait.
"""

from __future__ import annotations

import os
from typing import Any

import Live
from ableton.v2.control_surface import ControlSurface

from .actions import Actions
from .daemon_link import Refused
from .settings import DEFAULTS, SettingsError, read_settings
from .trigger import PortTaken, Trigger, action_of_midi


class Sidechop(ControlSurface):
    """Settings that cannot be read, or a port that is taken, are told; the rest works on."""

    def __init__(self, c_instance: Any) -> None:
        super().__init__(c_instance)
        self._our_settings = dict(DEFAULTS)
        self._our_actions: Actions | None = None
        self._our_trigger: Trigger | None = None
        try:
            self._our_settings = read_settings(os.path.dirname(os.path.abspath(__file__)))
        except SettingsError as error:
            self._say(str(error))
        try:
            self._our_actions = Actions(c_instance.song(), self._our_settings, self._say)
            if self._our_settings["listen_port"]:
                self._our_trigger = Trigger(self._our_settings["listen_port"], self._start)
        except (Refused, PortTaken) as error:
            self._say(str(error))
        self.add_received_midi_listener(self._hear_midi)

    def update_display(self) -> None:
        """Live's tick."""
        super().update_display()
        if self._our_trigger is not None:
            self._our_trigger.look()
        if self._our_actions is not None:
            self._our_actions.step()

    def build_midi_map(self, midi_map_handle: int) -> None:
        """Ask Live for the keys and buttons that start an action: others never come here."""
        super().build_midi_map(midi_map_handle)
        channel, handle = self._our_settings["midi_channel"] - 1, self._c_instance.handle()
        for note in self._our_settings["midi_notes"].values():
            if note is not None:
                Live.MidiMap.forward_midi_note(handle, midi_map_handle, channel, note)
        for number in self._our_settings["midi_ccs"].values():
            if number is not None:
                Live.MidiMap.forward_midi_cc(handle, midi_map_handle, channel, number)

    def disconnect(self) -> None:
        """Live ends, or another script is chosen."""
        self.remove_received_midi_listener(self._hear_midi)
        if self._our_trigger is not None:
            self._our_trigger.close()
        if self._our_actions is not None:
            self._our_actions.close()
        self._our_trigger = self._our_actions = None
        super().disconnect()

    def _hear_midi(self, *midi: int) -> None:
        action = action_of_midi(midi, self._our_settings)
        if action is not None:
            self._start(action, [], lambda well, text: None)

    def _start(self, name: str, arguments: list[Any], answer: Any) -> None:
        def told(well: bool, text: str) -> None:
            self._say(text)
            answer(well, text)

        if self._our_actions is not None:
            self._our_actions.start(name, arguments, told)

    def _say(self, text: str) -> None:
        self.show_message(f"Sidechop: {text}")
        self._c_instance.log_message(f"Sidechop: {text}")
