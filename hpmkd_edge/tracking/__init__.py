"""Following a run while it goes on: a journal of its epochs, and the trackers that read it."""
