"""What clients send without what must not be stored: credentials, and what rules name."""
