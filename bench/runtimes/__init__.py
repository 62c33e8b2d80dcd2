"""The runtimes that can load and time a model file."""
