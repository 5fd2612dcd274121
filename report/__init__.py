"""Records -> one HTML file."""
