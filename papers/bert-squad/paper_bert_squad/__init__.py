"""BERT fine-tuned to answer questions, on SQuAD 1.1 (arXiv 1810.04805, 1606.05250)."""
