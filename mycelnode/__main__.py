"""`python -m mycelnode`: the same program as `mycelnode`."""

from mycelnode.cli import main

if __name__ == "__main__":
    main()
