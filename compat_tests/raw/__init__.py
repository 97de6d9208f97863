"""Edge cases and error codes, asked with raw frames."""
