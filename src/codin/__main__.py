"""`python -m codin`."""

from codin.cli import main

if __name__ == "__main__":
    main()
