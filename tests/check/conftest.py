"""What the tests of the checker share stands in modules beside them: the functions of known verdict."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
