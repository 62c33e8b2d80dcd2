"""What outlives a run: files by content and the database beside them, safe for several processes at once."""
