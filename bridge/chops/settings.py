"""What a chop can be told, checked: by the flags of ``sidechop chop``, a TOML file, or the JSON of an OSC request."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..config import Section

Mode = Literal["chop", "transient", "beat", "downbeat", "phrase", "grid", "equal", "manual"]
Method = Literal["max-min", "max-sum", "mad-segments", "mad-frames", "top-n"]
Grid = Literal["4bar", "2bar", "bar", "1/2", "1/4", "1/8", "1/16", "1/32"]
Snap = Literal["onset", "zero", "none"]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ChopSettings(Section):
    """Where to look for places to cut, and how to choose among them. Seconds count from the source's beginning.

    Attributes:
        count: how many chops; None takes as many as the passage suggests.
        relevance_weight: λ: 1 takes the most likely places, 0 the most different ones. ``lambda`` in a file.
        min_length_s: no chop is shorter.
        snap: ``onset`` cuts on the attack and then on a zero crossing, ``zero`` only on the crossing.
        lock: chops to keep whatever else is chosen.
        at: the points of mode ``manual``.
        start_s, end_s: the passage; None ends it with the source.
    """

    model: str = "chopper"
    mode: Mode = "chop"
    count: int | None = Field(default=None, ge=1, le=100_000)
    method: Method = "max-min"
    relevance_weight: float = Field(default=0.5, ge=0, le=1, alias="lambda", allow_inf_nan=False)
    min_length_s: Seconds = 0.0
    grid: Grid = "bar"
    snap: Snap = "onset"
    seed: int = 0
    lock: tuple[Seconds, ...] = ()
    at: tuple[Seconds, ...] = ()
    start_s: Seconds = 0.0
    end_s: Seconds | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "ChopSettings":
        if self.mode == "manual" and not self.at:
            raise ValueError("mode manual needs points: at = [1.5, 3.25]")
        if self.at and self.mode != "manual":
            raise ValueError(f"points are for mode manual, not {self.mode}; to keep them beside others, lock them")
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"the passage ends at {self.end_s:g} s, before it starts at {self.start_s:g} s")
        return self
