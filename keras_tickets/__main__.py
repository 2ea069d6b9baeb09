"""`python -m keras_tickets`."""

import sys

from keras_tickets.experiments.cli import main

if __name__ == "__main__":
    sys.exit(main())
