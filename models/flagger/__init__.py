"""The learned flagger: good recordings, faults made from them, the network, what it remembers, training, evaluation."""
