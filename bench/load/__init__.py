"""Load generators, each its own process, cheap enough not to be what is measured."""
