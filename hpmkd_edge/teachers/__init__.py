"""Models to learn from: one module a kind, all read into logits."""
