"""The public names. research-cli also uses the modules `command_line.edge`,
`experiment.pyproject`, `experiment.workspace_members`, `processes.children`, `processes.signals`,
`versions.choice`, `versions.requirements`, `versions.releases`, `versions.hand_over`,
`code.archive`, `code.git`, `history.conditions`, `record.folders`, `record.resolved_config`,
`evidence.reproduce`, `results.costs`, `results.overview`, `results.recorded`, `results.standing`,
`results.rows` and `results.readme`.
"""

from .benchmarking.bench import bench as bench
from .benchmarking.result import Benchmark as Benchmark
from .benchmarking.result import compare_benchmarks as compare_benchmarks
from .benchmarking.result import read_benchmark as read_benchmark
from .benchmarking.run_speed import RunSpeed as RunSpeed
from .benchmarking.run_speed import compare_with_run as compare_with_run
from .benchmarking.run_speed import run_speed as run_speed
from .claims.claim import Claim as Claim
from .claims.claim import Claims as Claims
from .claims.claim import Finding as Finding
from .claims.claim import judge as judge
from .claims.claim import read_claims as read_claims
from .errors import CheckpointError as CheckpointError
from .errors import ClaimsError as ClaimsError
from .errors import ConfigError as ConfigError
from .errors import Interrupted as Interrupted
from .errors import MemberError as MemberError
from .errors import MetricError as MetricError
from .errors import NotFiniteError as NotFiniteError
from .errors import OutOfMemoryError as OutOfMemoryError
from .errors import RequirementError as RequirementError
from .errors import RunError as RunError
from .evaluating import evaluate_run as evaluate_run
from .evidence.reproduce import reproduce as reproduce
from .experiment.config import ConfigSection as ConfigSection
from .experiment.config import TrainConfig as TrainConfig
from .experiment.config_values import load_config as load_config
from .experiment.members import Experiment as Experiment
from .experiment.members import Member as Member
from .experiment.members import find_member as find_member
from .experiment.members import installed_members as installed_members
from .experiment.needs import link_needs as link_needs
from .experiment.needs import prepare_assets as prepare_assets
from .history.changes import note_run as note_run
from .history.changes import remove_runs as remove_runs
from .history.changes import tag_run as tag_run
from .history.comparison import RunComparison as RunComparison
from .history.comparison import compare_runs as compare_runs
from .history.comparison import varying_keys as varying_keys
from .history.curves import RunGroup as RunGroup
from .history.curves import draw_curves as draw_curves
from .history.curves import draw_groups as draw_groups
from .history.curves import seed_groups as seed_groups
from .history.export_run import export_run as export_run
from .history.import_run import Imported as Imported
from .history.import_run import import_run as import_run
from .history.rerun import rerun as rerun
from .history.rerun_outcome import Rerun as Rerun
from .history.sort_order import SortOrder as SortOrder
from .history.table import RunTable as RunTable
from .history.table import run_table as run_table
from .history.table import runs as runs
from .loop.metrics import Evaluation as Evaluation
from .loop.metrics import accuracy as accuracy
from .loop.metrics import classification_loss as classification_loss
from .loop.metrics import classification_report as classification_report
from .loop.metrics import mean_loss as mean_loss
from .loop.metrics import perplexity as perplexity
from .loop.optimizers import fused as fused
from .loop.optimizers import parameter_groups as parameter_groups
from .loop.schedules import Schedule as Schedule
from .loop.schedules import constant as constant
from .loop.schedules import cosine as cosine
from .loop.schedules import linear as linear
from .loop.schedules import steps_down as steps_down
from .loop.schedules import warm_up as warm_up
from .loop.text_scores import answer_scores as answer_scores
from .loop.trainer import Trainer as Trainer
from .processes.own_file import run_file as run_file
from .record.finding import find_any_run as find_any_run
from .record.finding import find_run as find_run
from .record.finding import last_run as last_run
from .record.metrics_file import follow_run as follow_run
from .record.metrics_file import read_metrics as read_metrics
from .record.record import Metrics as Metrics
from .record.record import RunRecord as RunRecord
from .record.record import read_record as read_record
from .record.resume import open_run as open_run
from .record.run import Run as Run
from .record.start import start_run as start_run
from .record.summary import RunSummary as RunSummary
from .state.checkpoint import load_checkpoint as load_checkpoint
from .state.checkpoint import save_checkpoint as save_checkpoint
from .state.train_state import TrainState as TrainState
from .training import new_run as new_run
from .training import resumed_run as resumed_run
from .training import train_run as train_run

__version__: str
