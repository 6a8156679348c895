"""What tests of several packages share."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Real benchmark data and model outputs, kept apart from this project for their licences.
DATA = Path(os.environ.get("AGORABENCH_DATA", ROOT.parent / "shared" / "data"))

# A folder with a finished miniature, which slow tests copy; without one they make their own.
MINIATURE = os.environ.get("AGORABENCH_MINIATURE")
