"""Who may send requests: hosts, origins, tokens, roles and sessions."""
