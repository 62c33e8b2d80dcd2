"""The commands that `cli` registers, one module a group."""
