"""Access control of the web application: allowed hosts, origins, tokens, roles and sessions."""
