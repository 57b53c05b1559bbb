"""Deep residual learning for image recognition, on CIFAR-10 (arXiv 1512.03385)."""
