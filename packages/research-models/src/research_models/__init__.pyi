from .convnet import ConvNet as ConvNet
from .mlp import MLP as MLP

__version__: str
