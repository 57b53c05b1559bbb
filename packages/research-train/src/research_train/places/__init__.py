"""Run trainings elsewhere: a place starts, looks at and stops what it is given."""

from typing import Literal

Place = Literal["local", "slurm"]
