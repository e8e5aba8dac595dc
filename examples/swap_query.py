"""Ask for one thing, then for another while the sound goes on: queries in thirty lines.

python examples/swap_query.py MODEL.onnx SOUND.wav "the singing voice" drums
"""

import sys
from pathlib import Path

import numpy as np

from bridge.audio_files import AudioReader
from bridge.text_encoder import encoder_of
from streaming.engine import Engine
from streaming.queries import Queries
from streaming.session import OnnxModel

BLOCK = 480

model, sound, first, second = sys.argv[1:]
queries = Queries()  # two slots; live they lie in shared memory
engine = Engine(OnnxModel.open(model), queries=queries)
encoder = encoder_of(OnnxModel.open(model).card)  # the text encoder that the model was trained with
with AudioReader(Path(sound)) as reader:
    song = np.concatenate(list(reader.blocks(8192)), axis=1)
    engine.prepare(reader.rate, BLOCK, reader.channels)

queries.ask(0, encoder.embed(first))
parts = []
for start in range(0, song.shape[1], BLOCK):
    if start <= song.shape[1] // 2 < start + BLOCK:
        queries.ask(0, encoder.embed(second))  # from the next hop on, faded in over one
    parts.append(engine.process(song[:, start : start + BLOCK])[1].copy())
parts.append(engine.flush()[1])

stems = np.concatenate(parts, axis=2)[:, :, engine.latency_samples :]
for words, half in zip((first, second), np.array_split(stems[0], 2, axis=1), strict=True):
    print(f"{words:20} {20 * np.log10(np.sqrt((half**2).mean()) + 1e-9):6.1f} dBFS")
print(f"sum of stems less mix: {np.abs(stems.sum(0) - song).max():.1e}")
