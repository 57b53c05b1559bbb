from .claims import ClaimRow as ClaimRow
from .claims import claim_plot as claim_plot
from .confusion import confusion_matrix as confusion_matrix
from .curves import curve_panels as curve_panels
from .curves import learning_curves as learning_curves
from .inline import inline_svg as inline_svg
from .intervals import t_interval as t_interval
from .methods import comparison as comparison
from .parallel import parallel_coordinates as parallel_coordinates
from .parts import part_bars as part_bars
from .saving import save_figure as save_figure
from .sweep import sweep_heatmap as sweep_heatmap
from .tables import latex_table as latex_table
from .tables import markdown_table as markdown_table
from .tables import with_ends as with_ends
from .tables import with_interval as with_interval

__version__: str
