"""`python -m stenogate` is the `stenogate` command."""

import sys

from stenogate.cli import main

sys.exit(main())
