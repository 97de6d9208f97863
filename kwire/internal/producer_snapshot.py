"""The `.snapshot` file of a partition's producer state."""
