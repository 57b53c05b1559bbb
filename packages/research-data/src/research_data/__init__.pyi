"""The public names. The workspace's other packages also use the modules `shown`, `durable`,
`plain_files`, `lock`, `progress`, `assets.manifest`, `assets.needs`, `assets.publish`,
`assets.tar_archive`, `assets.users`, `batches.parts`, `elsewhere.address`, `elsewhere.store`,
`elsewhere.transfer`, `hub.plan`, `hub.settings` and
`hub.web_file`.
"""

from ._version import __version__ as __version__
from .assets.archives import export_asset as export_asset
from .assets.archives import import_asset as import_asset
from .assets.catalog import Asset as Asset
from .assets.catalog import BrokenAsset as BrokenAsset
from .assets.catalog import asset_folder as asset_folder
from .assets.catalog import find_asset as find_asset
from .assets.catalog import list_assets as list_assets
from .assets.catalog import matching_assets as matching_assets
from .assets.catalog import split_name as split_name
from .assets.links import add_link as add_link
from .assets.links import link_assets as link_assets
from .assets.links import unlink_assets as unlink_assets
from .assets.removal import remove_asset as remove_asset
from .assets.verify import check_asset as check_asset
from .assets.verify import verify_asset as verify_asset
from .assets_dir import find_workspace as find_workspace
from .assets_dir import get_assets_dir as get_assets_dir
from .assets_dir import get_datasets_dir as get_datasets_dir
from .assets_dir import get_models_dir as get_models_dir
from .assets_dir import get_outputs_dir as get_outputs_dir
from .assets_dir import this_workspace as this_workspace
from .batches.in_memory import Batches as Batches
from .batches.loader import StatefulDataLoader as StatefulDataLoader
from .batches.source import BatchSource as BatchSource
from .elsewhere.assets import pull_asset as pull_asset
from .elsewhere.assets import push_asset as push_asset
from .errors import AssetError as AssetError
from .errors import DamagedAssetError as DamagedAssetError
from .errors import HubError as HubError
from .errors import ResearchError as ResearchError
from .errors import StorageError as StorageError
from .errors import StoreError as StoreError
from .errors import UsageError as UsageError
from .generated.dataset import GeneratedDataset as GeneratedDataset
from .generated.dataset import load_arrays as load_arrays
from .generated.dataset import make_dataset as make_dataset
from .generated.literature import associative_recall as associative_recall
from .generated.literature import linear_regression_in_context as linear_regression_in_context
from .generated.literature import modular_arithmetic as modular_arithmetic
from .hub.pull import pull_dataset as pull_dataset
from .hub.pull import pull_model as pull_model
from .hub.repair import Health as Health
from .hub.repair import examine as examine
from .hub.repair import repair_asset as repair_asset
from .hub.run_pins import pinned_assets as pinned_assets
from .reading.load import download_dataset as download_dataset
from .reading.load import download_model as download_model
from .reading.load import open_dataset as open_dataset
from .reading.load import tokenize_dataset as tokenize_dataset
from .reading.questions import tokenize_questions as tokenize_questions
