"""Ableton Live: a drum rack preset (``.adg``) with a Simpler per pad, each playing a stretch of one WAV.

A preset is gzipped XML of the shape that Live itself saves (seen in presets of Live 11 and 12, and in the racks of
its own *Slice to New MIDI Track*): ``GroupDevicePreset/BranchPresets/DrumBranchPreset``, in each an
``OriginalSimpler``. Only what differs from Live's defaults is written, under a version header of Live 11, so that
Live 11 and later fill in the rest as they do for any older preset. What is easily wrong:

- ``ReceivingNote`` counts down: 128 less the MIDI note.
- ``SampleStart`` and ``SampleEnd`` are frames of the WAV, and the end is its last frame, not the one after it.
- ``RelativePathType`` 1 is relative to the preset's own folder; the absolute path is only the second choice.

Not opened in Live.
"""

import gzip
import os
import re
from pathlib import Path
from xml.etree import ElementTree

from ..slices import FADE_S
from .cue_wav import marked_wav
from .job import Bank, Job, banks, pad_note

ONE_SHOT = 1
SIMPLER_KEY = 60
CHOKE_GROUP = 1

_NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")  # a folder's name may have it

Tree = dict[str, "str | int | float | bool | Tree"]


def write(job: Job) -> list[str]:
    wav = marked_wav(job)
    for bank in banks(job.chops):
        path = job.path(f"-chops{bank.ending}.adg")
        xml = ElementTree.tostring(_rack(job, bank, path.stem, wav), encoding="UTF-8", xml_declaration=True)
        path.write_bytes(gzip.compress(xml, mtime=0))
    return []


def _rack(job: Job, bank: Bank, name: str, wav: Path) -> ElementTree.Element:
    header = {"MajorVersion": "5", "MinorVersion": "11.0_11300", "SchemaChangeCount": "3", "Creator": "Sidechop"}
    root = ElementTree.Element("Ableton", header | {"Revision": ""})
    preset = ElementTree.SubElement(root, "GroupDevicePreset")
    device = ElementTree.SubElement(preset, "Device")
    _fill(ElementTree.SubElement(device, "DrumGroupDevice", Id="0"), {"UserName": name})
    branches = ElementTree.SubElement(preset, "BranchPresets")
    for index, (number, _) in enumerate(bank):
        branch = ElementTree.SubElement(branches, "DrumBranchPreset", Id=str(index))
        _fill(branch, {"Name": job.name(number)})
        devices = ElementTree.SubElement(branch, "DevicePresets")
        simpler = ElementTree.SubElement(devices, "AbletonDevicePreset", Id="0")
        device = ElementTree.SubElement(simpler, "Device")
        _simpler(ElementTree.SubElement(device, "OriginalSimpler", Id="0"), job, number, wav)
        zone: Tree = {"ReceivingNote": 128 - pad_note(number), "SendingNote": SIMPLER_KEY, "ChokeGroup": CHOKE_GROUP}
        _fill(branch, {"ZoneSettings": zone})
    ElementTree.SubElement(preset, "ReturnBranchPresets")
    return root


def _simpler(device: ElementTree.Element, job: Job, number: int, wav: Path) -> None:
    chop = job.chops.chops[number - 1]
    first, last = chop.position - job.chops.start, chop.end - job.chops.start - 1
    file: Tree = {
        "RelativePathType": 1,
        "RelativePath": wav.name,
        "Path": str(job.home / wav.name),
        "Type": 2,
        "LivePackName": "",
        "LivePackId": "",
        "OriginalFileSize": os.path.getsize(wav),
        "OriginalCrc": 0,
    }
    sample: Tree = {
        "FileRef": file,
        "LastModDate": 0,
        "SampleUsageHint": 0,
        "DefaultDuration": job.chops.end - job.chops.start,
        "DefaultSampleRate": job.chops.rate,
    }
    part = _part(device)
    _fill(part, {"Name": job.name(number), "Selection": True, "IsActive": True, "Solo": False})
    for kind, low in (("Key", 0), ("Velocity", 1), ("Selector", 0)):
        _fill(part, {f"{kind}Range": {"Min": low, "Max": 127, "CrossfadeMin": low, "CrossfadeMax": 127}})
    _fill(part, {"RootKey": SIMPLER_KEY, "Detune": 0, "TuneScale": 100, "Panorama": 0, "Volume": 1, "Link": False})
    _fill(part, {"SampleStart": first, "SampleEnd": last})
    for kind, mode in (("Sustain", 0), ("Release", 3)):
        loop: Tree = {"Start": first, "End": last, "Mode": mode, "Crossfade": 0, "Detune": 0}
        _fill(part, {f"{kind}Loop": loop})
    _fill(part, {"SampleRef": sample, "SampleWarpProperties": {"IsWarped": False}})
    fade_ms = FADE_S * 1000 if chop.fade else 0
    _fill(device, {"VolumeAndPan": {"Volume": {"Manual": 0}, "OneShotEnvelope": {"FadeInTime": {"Manual": fade_ms}}}})
    _fill(device, {"Globals": {"PlaybackMode": ONE_SHOT}})


def _part(device: ElementTree.Element) -> ElementTree.Element:
    parts = device
    for tag in ("Player", "MultiSampleMap", "SampleParts"):
        parts = ElementTree.SubElement(parts, tag)
    return ElementTree.SubElement(parts, "MultiSamplePart", Id="0")


def _fill(parent: ElementTree.Element, tree: Tree) -> None:
    """Children of ``parent``: a value goes into the attribute that Live keeps values in, a tree has children again."""
    for tag, value in tree.items():
        child = ElementTree.SubElement(parent, tag)
        if isinstance(value, dict):
            _fill(child, value)
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            child.set("Value", _NO_XML.sub("?", text))
