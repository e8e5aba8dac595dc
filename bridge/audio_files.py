"""Audio files in and out, block by block: a ten-hour file costs no more memory than a ten-second one.

Audio is float32 ``(channels, samples)`` everywhere; a file that is not mono or stereo, or whose samples are not
finite, is refused here so that nothing behind has to look again. A reader delivers any rate, a writer takes any rate
back, and the sample count survives the round trip::

    file 192 kHz ──AudioReader(rate=96000)──► engine 96 kHz ──AudioWriter(rate=96000, file_rate=192000)──► file 192 kHz
    N frames                                                                        finish(frames=N) ──► N frames

Writers write aside (``NAME.part`` in the same folder) and rename when all is well: a file that is there is whole.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from streaming.errors import AudioError

from .resampler import Resampler

Block = NDArray[np.float32]

SESSION_RATES = (44100, 48000, 88200, 96000)
SUBTYPES = {"float": "FLOAT", "24": "PCM_24", "16": "PCM_16"}
RF64_BYTES = 4_000_000_000  # a plain WAV counts its bytes in 32 bits

_READ_FRAMES = 65536  # one disk read; also what a resampler is fed at once
_SET_ADD_PEAK_CHUNK = 0x1050  # of libsndfile's sf_command; it goes before the first sample
_INEXACT = ("OGG", "MP3")
"""Formats that do not find a sample again after a jump."""
_PROMISE = re.compile(r"data\s*: (\d+) \(should be (\d+)\)|SSND\s*: (\d+) \(should be (\d+)\)")


def session_rate(file_rate: int) -> int:
    """The rate at which the engine hears a file: its own, or else one that keeps its band, in a whole ratio if any.

    22.05 → 44.1, 8 and 32 → 48, 192 → 96 kHz. Only above 96 kHz is anything lost, and nobody hears it.
    """
    if file_rate in SESSION_RATES:
        return file_rate
    if file_rate < 48000:
        return 44100 if 44100 % file_rate == 0 else 48000
    return 88200 if file_rate % 88200 == 0 else 96000


class AudioReader:
    """Opens a file and gives its audio once, front to back.

    ``rate`` is the delivered rate (the file's own unless asked otherwise), ``file_rate`` what the file says,
    ``channels`` 1 or 2, ``frames`` what the header promises at the delivered rate. ``warning`` is empty until the file
    proves shorter than it promised; then it is the line to show.

    Raises:
        AudioError: missing, not audio, empty, or more than two channels.
    """

    def __init__(self, path: Path, rate: int | None = None) -> None:
        self.path = path
        self.warning = ""
        self.file_frames_read = 0
        if not path.exists():
            raise AudioError(f"{path}: no such file")
        if path.is_dir():
            raise AudioError(f"{path}: is a folder, not an audio file")
        if path.stat().st_size == 0:
            raise AudioError(f"{path}: is empty (0 bytes)")
        try:
            self._file = soundfile.SoundFile(path)
        except UnicodeEncodeError:  # a Linux name may be any bytes, libsndfile takes text
            raise AudioError(f"{str(path)!a}: a name that is not valid text; rename the file") from None
        except soundfile.SoundFileError as error:
            reason = getattr(error, "error_string", str(error)).rstrip(".")
            raise AudioError(
                f"{path}: not audio that can be read ({reason}); try wav, flac, ogg, aiff or mp3"
            ) from None
        # Asked whether it can seek, soundfile does so after every read, and an MP3 goes on wrong for 25 ms after that.
        self._file.seekable = lambda: False
        self.file_rate = int(self._file.samplerate)
        self.file_frames = int(self._file.frames)
        self.channels = int(self._file.channels)
        self.rate = rate or self.file_rate
        self.frames = round(self.file_frames * self.rate / self.file_rate)
        problem = ""
        if self.channels > 2:
            problem = f"has {self.channels} channels, mono or stereo is expected; export a stereo mixdown and try again"
        elif self.file_frames == 0:
            problem = "holds no audio (0 frames)"
        if problem:
            self.close()
            raise AudioError(f"{path}: {problem}")
        for promise in _PROMISE.finditer(self._file.extra_info):
            promised, found = (int(number) for number in promise.groups() if number is not None)
            if found < promised < 0xFFFF0000:  # a program that writes to a pipe promises the largest number there is
                self._warn_short(f"{found / promised:.0%} of its data is there")

    def _warn_short(self, what: str) -> None:
        self.warning = f"{self.path}: is truncated ({what}); going on with the part that can be read"

    def skip(self, frames: int) -> None:
        """Leave out so many of the file's frames: by a jump where the format lands on the sample, else by reading.

        Raises:
            AudioError: the file is truncated before them.
        """
        wanted = self.file_frames_read + frames
        with contextlib.suppress(soundfile.SoundFileError):
            if self._file.format not in _INEXACT:
                self.file_frames_read = self._file.seek(wanted)
            while self.file_frames_read < wanted:
                count = len(self._file.read(min(wanted - self.file_frames_read, _READ_FRAMES), dtype="float32"))
                if count == 0:
                    break
                self.file_frames_read += count
        if self.file_frames_read < wanted:
            at_s = wanted / self.file_rate
            raise AudioError(f"{self.path}: is truncated or damaged: nothing can be read from {at_s:.3f} s on")

    def only(self, start: int, frames: int) -> None:
        """Before anything was read: give but ``frames`` of the file, from ``start`` on. Raises `AudioError`."""
        self.skip(start)
        self.file_frames = min(self.file_frames, start + frames)
        self.frames = round((self.file_frames - start) * self.rate / self.file_rate)

    def blocks(self, block: int) -> Iterator[Block]:
        """All audio as fresh arrays ``(channels, block)``; the last may be shorter.

        Raises:
            AudioError: a sample that is not a number (with its place), or a file of which nothing can be read.
        """
        waiting: list[Block] = []
        ready = 0
        for chunk in self._chunks():
            waiting.append(chunk)
            ready += chunk.shape[1]
            if ready < block:
                continue
            audio = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=1)
            whole = ready - ready % block
            for start in range(0, whole, block):
                yield audio[:, start : start + block].copy()
            waiting, ready = [audio[:, whole:]], ready - whole
        if ready:
            yield np.concatenate(waiting, axis=1)

    def _chunks(self) -> Iterator[Block]:
        """The audio at the delivered rate, in pieces of whatever length comes."""
        if self.rate == self.file_rate:
            yield from self._file_chunks()
            return
        resampler = Resampler(self.file_rate, self.rate, self.channels)
        for chunk in self._file_chunks():
            yield resampler.process(chunk)
        yield resampler.flush()

    def _file_chunks(self) -> Iterator[Block]:
        while self.file_frames_read < self.file_frames:
            try:
                left = self.file_frames - self.file_frames_read
                audio: Block = self._file.read(min(left, _READ_FRAMES), dtype="float32", always_2d=True).T
            except soundfile.SoundFileError:
                audio = np.empty((self.channels, 0), dtype=np.float32)
            count = audio.shape[1]
            if count == 0:
                break
            if not np.isfinite([audio.min(), audio.max()]).all():  # many times faster than asking every sample
                finite = np.isfinite(audio).all(axis=0)
                at_s = (self.file_frames_read + int(np.argmin(finite))) / self.file_rate
                raise AudioError(
                    f"{self.path}: holds a sample that is not a number (NaN or infinite) at {at_s:.3f} s; "
                    "render it again, or repair it in an editor"
                )
            self.file_frames_read += count
            yield np.ascontiguousarray(audio)
        if self.file_frames_read == 0:
            raise AudioError(f"{self.path}: is truncated or damaged: none of its {self.file_frames} frames can be read")
        if self.file_frames_read < self.file_frames:
            self._warn_short(f"{self.file_frames_read} of {self.file_frames} frames")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AudioWriter:
    """Writes one wav or flac file aside and moves it into place in `finish`.

    As a context manager it finishes on a clean exit and leaves nothing on an exception (Ctrl-C included).

    Args:
        path: ends in ``.wav`` or ``.flac``; its folder is made.
        rate: rate of the blocks to come; ``file_rate`` of the file, when it differs.
        subtype: ``"float"`` (32 bit, wav only), ``"24"`` or ``"16"``. Integers clip beyond ±1, counted in `clipped`.
        frames: how much is to come in the file, if known: beyond 4 GB the wav becomes an RF64.

    Raises:
        AudioError: a name, subtype or folder that cannot be; a disk that is full.
    """

    def __init__(
        self,
        path: Path,
        rate: int,
        channels: int,
        *,
        subtype: str = "float",
        file_rate: int | None = None,
        frames: int | None = None,
    ) -> None:
        kind = path.suffix.lower()
        if kind not in (".wav", ".flac"):
            raise AudioError(f"{path}: cannot write {kind or 'a file without an ending'}; use .wav or .flac")
        if subtype not in SUBTYPES:
            raise AudioError(f"{path}: cannot write {subtype} bits; choose from {', '.join(SUBTYPES)}")
        if kind == ".flac" and subtype == "float":
            raise AudioError(f"{path}: flac holds 16 or 24 bits, not float; choose 24, or write wav")
        self.path = path
        self.frames = 0
        self.clipped = 0
        self._done = False
        self._part = path.with_name(path.name + ".part")
        self._integer = subtype != "float"
        self._steps = np.float32(2.0 ** (int(subtype) - 1) if self._integer else 0)
        self._sample_type: type[np.signedinteger[Any]] = np.int32 if subtype == "24" else np.int16
        self._file_rate = file_rate or rate
        self._resampler = Resampler(rate, self._file_rate, channels) if self._file_rate != rate else None
        sample_bytes = {"float": 4, "24": 3, "16": 2}[subtype]
        large = kind == ".wav" and (frames or 0) * channels * sample_bytes > RF64_BYTES
        container = "FLAC" if kind == ".flac" else "RF64" if large else "WAV"
        self._limit = RF64_BYTES // (channels * sample_bytes) if container == "WAV" else None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = soundfile.SoundFile(
                self._part, "w", self._file_rate, channels, subtype=SUBTYPES[subtype], format=container
            )
            # The PEAK chunk of a float WAV holds the time: without it, equal audio is equal bytes.
            soundfile._snd.sf_command(self._file._file, _SET_ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
        except (OSError, soundfile.SoundFileError) as error:
            raise self._failure(error) from None

    def write(self, block: Block) -> None:
        """Append ``(channels, n)``.

        Raises:
            AudioError: the disk is full; what was written aside is gone.
        """
        self._write(self._resampler.process(block) if self._resampler else block)

    def _write(self, block: Block) -> None:
        if self._limit is not None and self.frames + block.shape[1] > self._limit:
            self.discard()
            raise AudioError(f"{self.path}: a wav ends at 4 GB; write flac, or shorter takes")
        samples: NDArray[Any] = block.T
        if self._integer:
            if block.size and (block.max() > 1.0 or block.min() < -1.0):  # many times faster than asking every sample
                self.clipped += int(np.count_nonzero(np.abs(block) > 1.0))
            block = block * self._steps
            np.rint(block, out=block)  # libsndfile would cut off what lies between, half a step too low
            np.clip(block, -self._steps, self._steps - 1, out=block)
            samples = block.T.astype(self._sample_type, order="C")
            if self._sample_type == np.int32:
                samples <<= 8  # 24 bits are the upper ones
        try:
            self._file.write(samples)
        except (OSError, soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts on a short write
            raise self._failure(error) from None
        self.frames += block.shape[1]

    def finish(self, frames: int | None = None) -> None:
        """Move the file into place, cut or padded by a resampler's odd frame to exactly `frames` if given.

        A second call does nothing.

        Raises:
            AudioError: the last of it did not reach the disk; nothing is left behind.
        """
        if self._done:
            return
        if self._resampler:
            self._write(self._resampler.flush(frames))
        self._done = True
        try:
            self._file.close()
            on_disk = soundfile.info(self._part).frames
            if on_disk != self.frames:  # closing reports nothing when the disk filled up in the last buffer
                raise OSError(f"{on_disk} of {self.frames} frames reached the disk")
            os.replace(self._part, self.path)
        except (OSError, soundfile.SoundFileError) as error:
            raise self._failure(error) from None

    def discard(self) -> None:
        """Leave nothing."""
        self._done = True
        with contextlib.suppress(soundfile.SoundFileError, AttributeError):
            self._file.close()  # a full disk refuses the header too; or it was never opened
        with contextlib.suppress(OSError):
            self._part.unlink()

    def _failure(self, error: Exception) -> AudioError:
        """The line for what went wrong, after cleaning up (the free space is asked for before it grows again)."""
        folder = next(parent for parent in self._part.parents if parent.exists())
        full = shutil.disk_usage(folder).free < 65536
        self.discard()
        if full:
            return AudioError(f"{self.path}: the disk is full; free some space, or choose another folder with -o")
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        return AudioError(f"{self.path}: cannot be written ({reason})")

    def __enter__(self) -> "AudioWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.discard()
