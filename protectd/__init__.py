"""Data protection service: plans in, proven checkpoints out."""
