"""`python -m mycelnode.cli`."""

from mycelnode.cli import main

if __name__ == "__main__":
    main()
