from .confusion import confusion_matrix as confusion_matrix
from .curves import learning_curves as learning_curves
from .intervals import t_interval as t_interval
from .saving import save_figure as save_figure

__version__: str
