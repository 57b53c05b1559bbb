"""The learning rate of SGD, learned by gradient (section 5.3)."""
