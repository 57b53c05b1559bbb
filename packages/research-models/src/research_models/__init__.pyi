from . import initialisation as initialisation
from .convnet import ConvNet as ConvNet
from .counting import flops as flops
from .counting import parameter_count as parameter_count
from .mixers import H3 as H3
from .mixers import BaseConv as BaseConv
from .mixers import LinearAttention as LinearAttention
from .mixers import elu_plus_one as elu_plus_one
from .mixers import taylor_exp as taylor_exp
from .mlp import MLP as MLP
from .recurrent import RecurrentClassifier as RecurrentClassifier
from .recurrent import RecurrentLanguageModel as RecurrentLanguageModel
from .recurrent import detach_state as detach_state
from .resnet import ResNet as ResNet
from .unet import UNet as UNet
from .vae import VAE as VAE

__version__: str
