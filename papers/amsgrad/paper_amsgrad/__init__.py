"""On the convergence of Adam and beyond: Reddi, Kale, Kumar, ICLR 2018, arXiv 1904.09237."""
