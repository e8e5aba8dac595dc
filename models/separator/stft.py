"""The engine's STFT as differentiable torch, so that the loss is taken on the waveform that users hear.

The windows are those of `streaming.windows`. Frame t ends with hop t, so that nothing here looks ahead::

    samples   ...|  hop t-2  |  hop t-1  |   hop t   |
    frame t      |<- N samples, the last H are new ->|
    synthesis                |<--- last M = 2H ----->|      hop t-1 is final once frame t has been added
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streaming.windows import Windows


class Stft(nn.Module):
    """Analysis and synthesis of whole sequences, equal to the engine's hop-by-hop transform."""

    analysis_window: Tensor
    synthesis_window: Tensor

    def __init__(self, windows: Windows) -> None:
        super().__init__()
        self.windows = windows
        analysis = torch.from_numpy(windows.analysis).float()
        synthesis = torch.from_numpy(windows.synthesis).float()
        self.register_buffer("analysis_window", analysis, persistent=False)
        self.register_buffer("synthesis_window", synthesis, persistent=False)

    def analyse(self, waves: Tensor, every: int = 1, first: int = 0) -> Tensor:
        """``(..., samples)`` to complex ``(..., frames, bins)``, one frame a whole hop of samples, or of some hops."""
        n, h = self.windows.analysis_samples, self.windows.hop_samples
        frames = F.pad(waves, (n - h, 0))[..., first * h :].unfold(-1, n, every * h)  # (..., frames, N)
        spectra: Tensor = torch.fft.rfft(frames * self.analysis_window)
        return spectra

    def synthesise(self, spectra: Tensor) -> Tensor:
        """Complex ``(..., frames, bins)`` to ``(..., (frames - 1) * H)``: the hops that are final."""
        h, m = self.windows.hop_samples, self.windows.synthesis_samples
        tails = torch.fft.irfft(spectra, n=self.windows.analysis_samples)[..., -m:] * self.synthesis_window
        hops: Tensor = tails[..., 1:, :h] + tails[..., :-1, h:]  # (..., frames - 1, H)
        return hops.flatten(-2)

    def synthesise_adjoint(self, waves: Tensor) -> Tensor:
        """The gradient of `synthesise`: ``(..., (frames - 1) * H)`` to complex ``(..., frames, bins)``."""
        n, h, m = self.windows.analysis_samples, self.windows.hop_samples, self.windows.synthesis_samples
        hops = waves.unflatten(-1, (-1, h))
        frames = waves.new_zeros((*hops.shape[:-2], hops.shape[-2] + 1, n))
        window = self.synthesis_window * (2 / n)
        torch.mul(hops, window[:h], out=frames[..., 1:, -m : n - h])
        torch.mul(hops, window[h:], out=frames[..., :-1, -h:])
        spectra: Tensor = torch.fft.rfft(frames)
        spectra[..., 0] *= 0.5  # every other bin stands for its mirror image too
        spectra[..., -1] *= 0.5
        return spectra
