"""Train the student: rivals, links, methods."""
