"""Akai MPC: a drum program (``.xpm``) whose pads each play a stretch of one WAV.

XML of ``File_Version`` 2.1, which MPC 2 writes and MPC 3 and the Force read. Akai publishes no schema; the elements
and their resting values are those that programs saved by MPC 1.9 to 3.7 hold, as published by others (BlackCursive's
mpckitcreator, ConvertWithMoss). What is relied on: ``SampleName`` is the WAV's name without its ending and the WAV
lies beside the program; ``SliceStart`` and ``SliceEnd`` are frames of it, and apply where ``SliceIndex`` is 129
("Pad"); instruments count from 1; there are 128 of them with four layers each; ``PadNoteMap`` says which note a pad
answers to. Not opened on a device.
"""

import json
from xml.etree import ElementTree

from ...passage import PassageReader
from .device_wav import device_bounds, device_frames, write_device_wav
from .job import PADS, Bank, Job, banks, pad_note

LAYERS = 4
SLICE_IS_PAD = 129
UNKNOWN_BPM = 120.0

Values = dict[str, str | int | float | bool]


def write(job: Job) -> list[str]:
    wav = job.path("-mpc.wav")
    start, end = job.chops.start, job.chops.end
    notes = write_device_wav(job, wav, PassageReader(job.passage), start, end)
    for bank in banks(job.chops):
        path = job.path(f"-mpc{bank.ending}.xpm")
        tree = ElementTree.ElementTree(_program(job, bank, path.stem, wav.stem))
        ElementTree.indent(tree)
        tree.write(path, encoding="UTF-8", xml_declaration=True)
    return notes


def _program(job: Job, bank: Bank, name: str, sample: str) -> ElementTree.Element:
    root = ElementTree.Element("MPCVObject")
    version = ElementTree.SubElement(root, "Version")
    _fill(version, {"File_Version": "2.1", "Application": "MPC-V", "Application_Version": "2.9.1.2"})
    _fill(version, {"Platform": "Linux"})
    program = ElementTree.SubElement(root, "Program", type="Drum")
    _fill(program, {"ProgramName": name, "ProgramPads": _pads(), "CueBusEnable": False})
    _route(program, 2)
    _fill(program, _SENDS | {"Volume": 0.707946, "Mute": False, "Solo": False, "Pan": 0.5, "AutomationFilter": 1})
    _fill(program, {"Pitch": 0.0, "TuneCoarse": 0, "TuneFine": 0, "Mono": False, "Program_Polyphony": 16})
    _fill(program, {"PortamentoTime": 0.0, "PortamentoLegato": False, "PortamentoQuantized": False})
    _fill(program, {"Program.Xfader.Route": 0})

    total = device_frames(job, job.chops.end - job.chops.start)
    cuts = [device_bounds(job, chop.position, chop.end, job.chops.start, total) for chop in bank.chops]
    instruments = ElementTree.SubElement(program, "Instruments")
    for pad in range(1, PADS + 1):
        instrument = ElementTree.SubElement(instruments, "Instrument", number=str(pad))
        _fill(instrument, {"CueBusEnable": False})
        _route(instrument, 0)
        _fill(instrument, _SENDS | _PAD | {"WarpTempo": job.chops.tempo or UNKNOWN_BPM})
        layers = ElementTree.SubElement(instrument, "Layers")
        for layer in range(1, LAYERS + 1):
            used = layer == 1 and pad <= len(cuts)
            first, last = cuts[pad - 1] if used else (0, 0)
            chosen: Values = {"SampleName": sample if used else "", "SliceStart": first, "SliceEnd": last}
            # The loop is off, but its start must lie within the slice.
            _fill(
                ElementTree.SubElement(layers, "Layer", number=str(layer)), _LAYER | chosen | {"SliceLoopStart": first}
            )

    note_map = ElementTree.SubElement(program, "PadNoteMap")
    for pad in range(1, PADS + 1):
        _fill(ElementTree.SubElement(note_map, "PadNote", number=str(pad)), {"Note": pad_note(pad)})
    return root


def _fill(parent: ElementTree.Element, values: Values) -> None:
    for tag, value in values.items():
        child = ElementTree.SubElement(parent, tag)
        child.text = f"{value:.6f}" if isinstance(value, float) else str(value)


def _route(parent: ElementTree.Element, route: int) -> None:
    values: Values = {
        "AudioRoute": route,
        "AudioRouteSubIndex": 0,
        "AudioRouteChannelBitmap": 3,
        "InsertsEnabled": True,
    }
    _fill(ElementTree.SubElement(parent, "AudioRoute"), values)


def _pads() -> str:
    """The pads' colours, a JSON inside the XML: none of its own for any."""
    colours = {f"value{pad}": 0 for pad in range(PADS)}
    pads = {
        "Universal": {"value0": True},
        "Type": {"value0": 1},
        "universalPad": 32512,
        "pads": colours,
        "UnusedPads": {"value0": 1},
    }
    return json.dumps({"ProgramPads": pads}, indent=4)


_SENDS: Values = {f"Send{n}": 0.0 for n in range(1, 5)}

_PAD: Values = {
    "Volume": 0.707946,
    "Mute": False,
    "Solo": False,
    "Pan": 0.5,
    "AutomationFilter": 1,
    "TuneCoarse": 0,
    "TuneFine": 0,
    "Mono": True,
    "Polyphony": 1,
    "FilterKeytrack": 0.0,
    "LowNote": 0,
    "HighNote": 127,
    "IgnoreBaseNote": False,
    "ZonePlay": 1,
    "MuteGroup": 1,  # a chop silences the one before
    **{f"{kind}Target{n}": 0 for kind in ("Mute", "Simult") for n in range(1, 5)},
    **{f"Lfo{target}": 0.0 for target in ("Pitch", "Cutoff", "Volume", "Pan")},
    "OneShot": True,
    "FilterType": 2,
    "Cutoff": 1.0,
    "Resonance": 0.0,
    "FilterEnvAmt": 0.0,
    "AfterTouchToFilter": 0.0,
    "VelocityToStart": 0.0,
    "VelocityToFilterAttack": 0.0,
    "VelocityToFilter": 0.0,
    "VelocityToFilterEnvelope": 0.0,
    "FilterAttack": 0.0,
    "FilterDecay": 0.047244,
    "FilterSustain": 1.0,
    "FilterRelease": 0.0,
    "FilterHold": 0.0,
    "FilterDecayType": True,
    "FilterADEnvelope": True,
    "VolumeHold": 0.0,
    "VolumeDecayType": True,
    "VolumeADEnvelope": True,
    "VolumeAttack": 0.0,
    "VolumeDecay": 0.047244,
    "VolumeSustain": 1.0,
    "VolumeRelease": 0.0,
    "VelocityToPitch": 0.0,
    "VelocityToVolumeAttack": 0.0,
    "VelocitySensitivity": 1.0,
    "VelocityToPan": 0.0,
    "BpmLock": True,
    "WarpEnable": False,
    "StretchPercentage": 100,
}

_LAYER: Values = {
    "Active": True,
    "Volume": 1.0,
    "Pan": 0.5,
    "Pitch": 0.0,
    "TuneCoarse": 0,
    "TuneFine": 0,
    "VelStart": 0,
    "VelEnd": 127,
    "SampleStart": 0,
    "SampleEnd": 0,
    "Loop": False,
    "LoopStart": 0,
    "LoopEnd": 0,
    "LoopTune": 0,
    "Mute": False,
    "RootNote": 0,
    "KeyTrack": False,
    "SampleName": "",
    "SampleFile": "",
    "SliceIndex": SLICE_IS_PAD,
    "Direction": 0,
    "Offset": 0,
    "SliceStart": 0,
    "SliceEnd": 0,
    "SliceLoopStart": 0,
    "SliceLoop": 0,
}
