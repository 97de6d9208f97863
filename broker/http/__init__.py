"""HTTP/1.1 for the test plane: framing, a table of endpoints, its OpenAPI document. Knows no cluster."""
