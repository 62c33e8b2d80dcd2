"""Student families, each a ladder of sizes."""
