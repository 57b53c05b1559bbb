from .assets import dataset_folder as dataset_folder
from .assets import find_workspace as find_workspace
from .assets import get_assets_dir as get_assets_dir
from .assets import get_datasets_dir as get_datasets_dir
from .assets import get_outputs_dir as get_outputs_dir
from .assets import this_workspace as this_workspace
from .batches import Batches as Batches
from .errors import AssetError as AssetError
from .errors import DamagedAssetError as DamagedAssetError
from .errors import ResearchError as ResearchError
from .errors import StorageError as StorageError
from .errors import UsageError as UsageError
from .generated import GeneratedDataset as GeneratedDataset
from .generated import load_arrays as load_arrays
from .generated import make_dataset as make_dataset
from .generated import verify_asset as verify_asset

__version__: str
