"""Entry point of the program, as a command and as a module."""

import signal


def main() -> None:
    """Loads and runs the commands."""
    # Until something has begun, an interrupt ends the process like any other signal, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ingestd import cli

    cli.main()


if __name__ == "__main__":
    main()
