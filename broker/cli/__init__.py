"""The command line, `kwire`."""
