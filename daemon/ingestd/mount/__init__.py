"""Access to the mount, by helper processes with deadlines. The only package that touches the mount."""
