"""What flagging can be told, checked: by the flags of ``sidechop flag``, a TOML file, or the JSON of an OSC request."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from streaming.keep import PAUSE_S, SHORTEST_S

from ..config import Section

Snap = Literal["beat", "zero", "none"]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FlagSettings(Section):
    """What to flag and what to keep. Seconds count from the source's beginning.

    Attributes:
        keep: the share of the passage that is to stay; None keeps all that is not flagged.
        threshold: a p-value: flag what is as odd as at most this share of good audio. None is the model's own.
        min_length_s: no part that is kept, and no passage that the network flags, is shorter.
        pause_s: with ``keep``: a shorter pause between two kept parts stays.
        pad_s: every kept part reaches this much into what is cut.
        fade_s: of the crossfade where parts of the cut meet.
        snap: flags and parts begin and end on a ``beat``, on the nearest ``zero`` crossing, or anywhere.
        start_s, end_s: the passage; None ends it with the source.
    """

    model: str = "flagger"
    keep: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    threshold: float | None = Field(default=None, gt=0, lt=1, allow_inf_nan=False)
    min_length_s: Seconds = SHORTEST_S
    pause_s: Seconds = PAUSE_S
    pad_s: Seconds = 0.0
    fade_s: float = Field(default=0.01, ge=0, le=1, allow_inf_nan=False)
    snap: Snap = "zero"
    start_s: Seconds = 0.0
    end_s: Seconds | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "FlagSettings":
        if self.keep is not None and self.threshold is not None:
            raise ValueError("give a share to keep, or a threshold: one of them decides what goes")
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"the passage ends at {self.end_s:g} s, before it starts at {self.start_s:g} s")
        return self
