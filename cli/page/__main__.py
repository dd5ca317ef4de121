"""What boondock-page.service starts: python -m cli.page."""

import sys

from cli.page.nginx import main

if __name__ == "__main__":
    sys.exit(main())
