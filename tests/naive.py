"""Every equation once more, slow and obvious: the judge that the fast code is held against.

Nothing here is used by the project itself. Loops and lists, one line an equation, no numpy tricks.
"""

from __future__ import annotations

# ---------------------------------------------------------------------------------------------------------- Normal Model


# -------------------------------------------------------------------------------------------------------------- hardness


# ----------------------------------------------------------------------------------------------------------- aggregation


# --------------------------------------------------------------------------------------------------------------- Benford
