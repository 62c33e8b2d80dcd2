"""Training an encoder for a task, so that it can teach."""
