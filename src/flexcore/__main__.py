"""`python -m flexcore` is the command line."""

from flexcore.cli import main

if __name__ == "__main__":
    main()
