"""The effects that come with pedalboard, by their own names: their parameters as settings.

pedalboard does not tell ranges, so they stand here: nothing that an effect refuses is within them, and nothing that
makes no sense for audio either. A test holds this table against the effects themselves.
"""

from typing import Any, Literal, NamedTuple

from pydantic import Field, create_model

from ..config import Section


class Parameter(NamedTuple):
    """A number from ``low`` to ``high``, or a switch. Its name ends in its unit."""

    name: str
    default: float | bool
    low: float = 0.0
    high: float = 1.0


def _db(name: str, default: float, low: float = -100.0, high: float = 0.0) -> Parameter:
    return Parameter(name, default, low, high)


def _ms(name: str, default: float, low: float = 0.0, high: float = 10_000.0) -> Parameter:
    return Parameter(name, default, low, high)


def _hz(name: str, default: float) -> Parameter:
    return Parameter(name, default, 1.0, 96_000.0)


_MIX = Parameter("mix", 0.5)
_Q = Parameter("q", 0.7071067690849304, 0.01, 100.0)
_CUTOFF = _hz("cutoff_frequency_hz", 440.0)
_BAND = (_CUTOFF, _db("gain_db", 0.0, -100.0, 60.0), _Q)

EFFECTS: dict[str, tuple[Parameter, ...]] = {
    "Bitcrush": (Parameter("bit_depth", 8.0, 0.0, 32.0),),
    "BrickwallLimiter": (
        _db("ceiling_db", -1.0), _ms("release_ms", 100.0, 0.01), _ms("lookahead_ms", 5.0, 0.1, 100.0),
        Parameter("true_peak", False),
    ),
    "Chorus": (
        Parameter("rate_hz", 1.0, 0.0, 100.0), Parameter("depth", 0.25), _ms("centre_delay_ms", 7.0, 1.0, 100.0),
        Parameter("feedback", 0.0, -1.0), _MIX,
    ),
    "Clipping": (_db("threshold_db", -6.0),),
    "Compressor": (
        _db("threshold_db", 0.0), Parameter("ratio", 1.0, 1.0, 1000.0), _ms("attack_ms", 1.0),
        _ms("release_ms", 100.0),
    ),
    "Delay": (Parameter("delay_seconds", 0.5, 0.0, 30.0), Parameter("feedback", 0.0), _MIX),
    "Distortion": (_db("drive_db", 25.0, -60.0, 100.0),),
    "GSMFullRateCompressor": (),
    "Gain": (_db("gain_db", 1.0, -120.0, 60.0),),
    "HighShelfFilter": _BAND,
    "HighpassFilter": (_hz("cutoff_frequency_hz", 50.0),),
    "Invert": (),
    "LadderFilter": (_hz("cutoff_hz", 200.0), Parameter("resonance", 0.0), Parameter("drive", 1.0, 1.0, 100.0)),
    "Limiter": (_db("threshold_db", -10.0), _ms("release_ms", 100.0, 0.01)),
    "LowShelfFilter": _BAND,
    "LowpassFilter": (_hz("cutoff_frequency_hz", 50.0),),
    "MP3Compressor": (Parameter("vbr_quality", 2.0, 0.0, 10.0),),
    "NoiseGate": (
        _db("threshold_db", -100.0), Parameter("ratio", 10.0, 1.0, 1000.0), _ms("attack_ms", 1.0),
        _ms("release_ms", 100.0),
    ),
    "PeakFilter": _BAND,
    "Phaser": (
        Parameter("rate_hz", 1.0, 0.0, 100.0), Parameter("depth", 0.5), _hz("centre_frequency_hz", 1300.0),
        Parameter("feedback", 0.0, -1.0), _MIX,
    ),
    "PitchShift": (Parameter("semitones", 0.0, -72.0, 72.0),),
    "Resample": (_hz("target_sample_rate", 8000.0),),
    "Reverb": (
        Parameter("room_size", 0.5), Parameter("damping", 0.5), Parameter("wet_level", 0.33),
        Parameter("dry_level", 0.4), Parameter("width", 1.0), Parameter("freeze_mode", 0.0),
    ),
}  # fmt: skip

ABOUT = {
    "Resample": "to a low rate and back, for its sound; `resample` changes the rate",
    "PitchShift": "longer than a minute: in pieces of a minute, joined by crossfades",
    "MP3Compressor": "at 32, 44.1 and 48 kHz",
}


class EffectStage(Section):
    """One of `EFFECTS`; the fields besides ``type`` are its parameters."""

    type: str

    def parameters(self) -> dict[str, Any]:
        return self.model_dump(exclude={"type"})


def _settings(name: str, parameters: tuple[Parameter, ...]) -> type[EffectStage]:
    fields: dict[str, Any] = {"type": (Literal[name], ...)}
    for parameter in parameters:
        if isinstance(parameter.default, bool):
            fields[parameter.name] = (bool, parameter.default)
        else:
            limits = Field(default=parameter.default, ge=parameter.low, le=parameter.high, allow_inf_nan=False)
            fields[parameter.name] = (float, limits)
    model: type[EffectStage] = create_model(name, __base__=EffectStage, **fields)
    return model


EFFECT_STAGES: tuple[type[EffectStage], ...] = tuple(_settings(*effect) for effect in EFFECTS.items())
