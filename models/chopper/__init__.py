"""The chopper: networks that hear onsets, beats, downbeats and phrases, and sampleChop as the baseline."""
