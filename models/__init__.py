"""Networks, the corpora they learn from, and their training."""
