"""What to train: traits, settings, chain of sizes."""
