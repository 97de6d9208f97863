"""Pure decisions: image and request in, records and answer out. One module per kind of operation."""
