"""The live four-stem separator: network, songs, augmentation, loss, training, evaluation."""
