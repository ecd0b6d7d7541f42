"""`python -m local.aito` serves the stand-in."""

from local.aito.server import main

main()
