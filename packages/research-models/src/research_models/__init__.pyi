from .convnet import ConvNet as ConvNet
from .mlp import MLP as MLP
from .recurrent import RecurrentClassifier as RecurrentClassifier
from .recurrent import RecurrentLanguageModel as RecurrentLanguageModel
from .recurrent import detach_state as detach_state

__version__: str
