"""What is to be learned: rows, labels and their split."""
