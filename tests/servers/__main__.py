"""python -m servers --port 0 --latency 0.2: prints its address and serves until it is stopped."""

from .app import main

main()
