"""`python -m adapter` is `tdu`."""

from adapter.cli import main

if __name__ == "__main__":
    main()
