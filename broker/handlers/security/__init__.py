"""Access control, SASL, tokens, quotas and credentials: for the most part the answers of a broker without them."""
