"""Run the tool as `python -m cookbook`."""

from cookbook.cli import main

main()
