"""`python -m sevpn`."""

import sys

from sevpn.cli import main

if __name__ == "__main__":
    sys.exit(main())
