"""Programs scored by running them in boxes: what they say of themselves counts for nothing."""

from fitness.harness.classification import Bounds, Classification, Goal
from fitness.harness.data import Data
from fitness.harness.single import Single
from fitness.harness.start import check_start

__all__ = ["Classification", "Bounds", "Goal", "Data", "Single", "check_start"]
