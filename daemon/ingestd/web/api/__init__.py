"""The JSON interface: its routes, requests and responses."""
