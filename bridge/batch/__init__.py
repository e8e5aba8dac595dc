"""Folders through chains of neural stages and plugins: what a chain is, how it streams, and who carries it out."""
