from .attention import Attention as Attention
from .attention import Cache as Cache
from .attention import CrossAttention as CrossAttention
from .convnet import ConvNet as ConvNet
from .feed_forward import FeedForward as FeedForward
from .generation import generate as generate
from .mixers import H3 as H3
from .mixers import BaseConv as BaseConv
from .mixers import LinearAttention as LinearAttention
from .mixers import elu_plus_one as elu_plus_one
from .mixers import taylor_exp as taylor_exp
from .mlp import MLP as MLP
from .norms import RMSNorm as RMSNorm
from .positions import real_positions as real_positions
from .pretrained import load_pretrained as load_pretrained
from .pretrained import save_pretrained as save_pretrained
from .recurrent import RecurrentClassifier as RecurrentClassifier
from .recurrent import RecurrentLanguageModel as RecurrentLanguageModel
from .recurrent import detach_state as detach_state
from .transformer import Transformer as Transformer
from .transformer import TransformerConfig as TransformerConfig
from .vit import ViT as ViT
from .vit import ViTConfig as ViTConfig
from .weights.bert import BertMaskedLM as BertMaskedLM

__version__: str
