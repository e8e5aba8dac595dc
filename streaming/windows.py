"""The asymmetric low-latency STFT windows: one definition for the engine and for the networks.

A long analysis window gives frequency resolution, a short synthesis window on its tail gives low delay::

    analysis   |        ___________-----------~~~~~~~~~~~~~~~~~~\\  |   N samples
    synthesis  |                                          /~~~~~\\  |   last M = 2H samples
                                                          <- M  ->

Each hop of H samples completes one frame. The output of a hop is final once the next frame has been added,
so the delay from a sample's arrival to its departure, the gathering of the hop included, is exactly M samples.

Source: Mauler and Martin, "A low delay, variable resolution, perfect reconstruction spectral analysis-synthesis
system", EUSIPCO 2007; Wang et al., "STFT-domain neural speech enhancement with very low algorithmic latency",
IEEE/ACM TASLP 2022.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Windows:
    """An analysis and synthesis window pair with perfect reconstruction at 50% synthesis overlap.

    Attributes:
        analysis_samples: N, the FFT length.
        hop_samples: H. The synthesis window is the last ``2 * H`` samples of the frame.
    """

    analysis_samples: int
    hop_samples: int

    def __post_init__(self) -> None:
        n, h = self.analysis_samples, self.hop_samples
        if h < 1 or n < 2 * h or n % 2:
            raise ValueError(f"windows need an even analysis length of at least two hops, got N={n}, H={h}")

    @property
    def synthesis_samples(self) -> int:
        """M = 2H."""
        return 2 * self.hop_samples

    @property
    def latency_samples(self) -> int:
        """Delay of a hop-by-hop stream, the gathering of the hop included: M."""
        return self.synthesis_samples

    @property
    def bins(self) -> int:
        """Frequency bins of a frame, DC and Nyquist included: N/2 + 1."""
        return self.analysis_samples // 2 + 1

    def scaled(self, factor: int) -> "Windows":
        """The same windows in seconds, and the same bins in hertz, at ``factor`` times the sample rate."""
        return Windows(self.analysis_samples * factor, self.hop_samples * factor)

    @cached_property
    def analysis(self) -> NDArray[np.float64]:
        """Analysis window ``(N,)``: a long rising sine, a short falling cosine over the last half of M."""
        n, m = self.analysis_samples, self.synthesis_samples
        rise = n - m // 2
        k = np.arange(n, dtype=np.float64)
        rising, falling = np.sin(np.pi * (k + 0.5) / (2 * rise)), np.cos(np.pi * (k - rise + 0.5) / m)
        return np.concatenate((rising[:rise], falling[rise:]))

    @cached_property
    def synthesis(self) -> NDArray[np.float64]:
        """Synthesis window ``(M,)`` for the frame's last M samples: a Hann over the analysis window's tail."""
        m, h = self.synthesis_samples, self.hop_samples
        tail = self.analysis[-m:]
        hann = np.sin(np.pi * (np.arange(m, dtype=np.float64) + 0.5) / m) ** 2
        window = hann / tail
        overlap = (window * tail).reshape(2, h).sum(axis=0)
        normalised: NDArray[np.float64] = window / np.tile(overlap, 2)
        return normalised


LOW = Windows(2048, 128)
"""5.8 ms at 44.1 kHz."""
DEFAULT = Windows(2048, 256)
"""11.6 ms at 44.1 kHz."""
HIGH = Windows(2048, 512)
"""23 ms at 44.1 kHz."""
