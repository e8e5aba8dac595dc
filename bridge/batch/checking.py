"""Whether a chain can be opened and works, told before a run: what ``--check`` does."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from streaming.errors import RequestError

from .attendant import Attendant, Setup
from .description import read_chain, splits, walk
from .job import Job
from .names import check_template
from .plan import digest_of_chain, resolved
from .view import told

TRIAL_S = 2.0
TRIAL_RATE = 44100


def check_chain(chain_file: Path, patience_s: float) -> Iterator[str]:
    """Lines about the chain: its stages, what is known of its plugins, and that a sound of clicks and noise goes
    through it.

    Raises:
        RequestError: the first thing that is wrong.
    """
    chain = resolved(read_chain(chain_file))
    check_template(chain)
    digest_of_chain(chain, chain_file.parent)
    setup = Setup(
        chain.model_dump(mode="json", by_alias=True), str(chain_file.parent.absolute()), "", True, patience_s=patience_s
    )
    with tempfile.TemporaryDirectory(prefix="sidechop-check-") as folder:
        source = Path(folder) / "check.wav"
        soundfile.write(source, trial_sound(), TRIAL_RATE, subtype="FLOAT")
        attendant = Attendant(setup._replace(output=str(Path(folder) / "out")))
        try:
            attendant.start()
            outcome = attendant.run(Job(0, str(source), ""))
        finally:
            attendant.close()
    if outcome.status != "done":
        raise RequestError(f"{chain_file}: {told(outcome)}")
    yield from outcome.notes
    names = ", ".join(name for name, _ in walk(chain.stage)) or "no stages: files are only converted"
    several = {"stem": "a file for each stem", "slice": "a file for each slice"}
    parts = [several[kind] for stage in chain.stage if (kind := splits(stage))]
    yield f"{chain_file}: good: {names}; {', '.join(parts) or 'one file for each'}"


def trial_sound() -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """``(frames, 2)``: something to chop, to flag and to measure."""
    frames = round(TRIAL_S * TRIAL_RATE)
    rng = np.random.default_rng(0)
    time = np.arange(frames) / TRIAL_RATE
    hits = np.exp(-30 * (time % 0.5)) * rng.standard_normal(frames)
    tone = 0.1 * np.sin(2 * np.pi * 220 * time)
    mono = (0.2 * hits + tone).astype(np.float32)
    return np.stack([mono, 0.9 * mono], axis=1)
