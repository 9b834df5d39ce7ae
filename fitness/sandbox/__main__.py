"""`python -m fitness.sandbox`: how far this machine keeps evolved code from itself, by trying."""

from __future__ import annotations

import sys

from evolve.errors import EvolveError
from fitness.sandbox.launcher import isolation


def main() -> None:
    """Prints the level, its parts, what is not blocked, and why it is not more."""
    try:
        reached = isolation()
    except EvolveError as error:
        sys.exit(str(error))
    print(f"level: {reached.level.word}")
    print(f"parts: {', '.join(reached.parts)}")
    print(f"not blocked: {', '.join(reached.gaps) or 'nothing that the tests try'}")
    for reason in reached.below:
        print(f"not reached: {reason}")


if __name__ == "__main__":
    main()
