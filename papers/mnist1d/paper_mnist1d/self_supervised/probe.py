"""How much of the classes a linear classifier finds in each layer (Figure 8b)."""

import numpy as np
import torch
from research_train import Metrics
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from paper_mnist1d.data import Data
from paper_mnist1d.self_supervised.model import SimCLR


def probe(model: SimCLR, data: Data) -> Metrics:
    """Test accuracy of logistic regression on layers 0 to 5, and the layer where it is highest.

    Layer 3, the last before the projection head, is the paper's linear accuracy.
    """
    layers = zip(features(model, data.train.inputs), features(model, data.test.inputs), strict=True)
    accuracies = []
    for train, test in layers:
        # The authors' tol=1e-2 applied to a summed loss. Applied to a mean, as scikit-learn does
        # now, it would stop after ten iterations; the default gives their 32.8 % for layer 0.
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        classifier.fit(train, data.train.targets.numpy())
        accuracies.append(float(classifier.score(test, data.test.targets.numpy())))
    return {
        **{f"probe/layer{layer}": accuracy for layer, accuracy in enumerate(accuracies)},
        "probe/best_layer": float(np.argmax(accuracies)),
    }


@torch.no_grad()
def features(model: SimCLR, inputs: Tensor) -> list[np.ndarray]:
    """inputs: (examples, 40). Returns the model's layers on them, (examples, features) each."""
    device = model.projection.weight.device
    return [layer.cpu().numpy() for layer in model.layers(inputs.to(device))]
