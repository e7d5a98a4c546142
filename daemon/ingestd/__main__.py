"""Entry point of the program, as a command and as a module."""


def main() -> None:
    """Loads and runs the commands."""
    # Until something has begun, an interrupt ends the process like any other signal, without a traceback. `signal`
    # itself would import other modules first, for milliseconds that an interrupt may hit.
    import _signal  # type: ignore[import-not-found]

    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from ingestd import cli

    cli.main()


if __name__ == "__main__":
    main()
