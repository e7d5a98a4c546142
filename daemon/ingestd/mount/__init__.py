"""Access to the mount, in helper processes with deadlines. The only package that touches the mount."""
