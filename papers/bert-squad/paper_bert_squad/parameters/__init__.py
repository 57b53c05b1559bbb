"""How many parameters BERT-base has with the heads that answer questions."""
