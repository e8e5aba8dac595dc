"""Technical faults that need no network: clipping, dropouts, clicks, hum, DC offset, a flipped channel, silence."""
