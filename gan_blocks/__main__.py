"""Runs the command `gan_blocks` as `python -m gan_blocks`."""

from gan_blocks.cli.command import main

if __name__ == "__main__":
    main()
