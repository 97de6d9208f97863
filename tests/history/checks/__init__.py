"""The checks of a history. Each is a function from a history to what it finds wrong; none needs a broker."""
