"""Separating what is described: networks, data and training of the text-query models."""
