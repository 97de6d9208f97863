"""`python -m kwire`."""

from kwire.launcher import main

if __name__ == "__main__":
    main()
