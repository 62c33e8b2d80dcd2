"""One self-contained HTML page for each kind of record."""
