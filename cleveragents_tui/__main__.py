"""`ca`, also as `python -m cleveragents_tui`."""

from cleveragents_tui.entry import main

if __name__ == "__main__":
    main()
