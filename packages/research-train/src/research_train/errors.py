"""The errors of training, below the errors of research-data.

ResearchError
├── UsageError               exit code 2
│   ├── ConfigError          a YAML or a `key=value` is wrong
│   ├── ClaimsError          a claims.yaml is wrong, or its claims can't be judged
│   └── MemberError          no such paper or experiment, or none or several to choose from
├── ExperimentError          an experiment's own code lacks what a command needs of it
├── RequirementError         an internal package is not of the version that a paper requires
├── CommandError             a command that was started failed, or isn't installed
├── RunError                 no such run, or it can't be resumed or evaluated
├── CheckpointError          a checkpoint is damaged or belongs to another model
├── MetricError              a metric can't be computed from these shapes, or is no number
├── NotFiniteError           the loss became NaN or infinite
└── OutOfMemoryError         a step needs more memory than there is

KeyboardInterrupt
└── Interrupted              a signal asked the run to stop
"""

from signal import SIGALRM

from research_data.errors import ResearchError, UsageError


class ConfigError(UsageError):
    """A configuration is wrong; the message says where, the value seen and what is allowed."""


class MemberError(UsageError):
    """No paper or experiment of that name, or it isn't clear which one is meant."""


class ClaimsError(UsageError):
    """A claims.yaml is wrong, or what was run is not enough to judge a claim by."""


class ExperimentError(ResearchError):
    """An experiment lacks a module or function, or it returned something a command can't use."""


class RequirementError(ResearchError):
    """What a paper requires of an internal package is not what would run."""


class CommandError(ResearchError):
    """A command that was started failed, gave no answer in time, or isn't installed.

    said: what it printed about that; empty where it printed nothing.
    """

    def __init__(self, message: str, said: str = ""):
        super().__init__(message)
        self.said = said


class RunError(ResearchError):
    """A run doesn't exist, is in use, or can't do what was asked of it."""


class CheckpointError(ResearchError):
    """A checkpoint is damaged, incomplete, or of another model."""


class MetricError(ResearchError):
    """A metric can't be computed from the data, or its name or value can't be recorded."""


class NotFiniteError(ResearchError):
    """The loss became NaN or infinite: a lower learning rate or clipped gradients may help."""


class OutOfMemoryError(ResearchError):
    """A step needs more memory than the device has."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop. Not an Exception: no `except Exception` swallows it.

    signal: its number, SIGALRM when the run's `max_minutes` are over; the command's exit code is
    128 more.
    """

    def __init__(self, signal: int):
        over = "max_minutes are over" if signal == SIGALRM else f"stopped by signal {signal}"
        super().__init__(over)
        self.signal = signal
