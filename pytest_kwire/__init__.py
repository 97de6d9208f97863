"""pytest plugin: a broker for the session, a fresh cluster for each test."""
