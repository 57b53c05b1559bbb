"""A GPT of characters on Shakespeare, by the recipes of nanoGPT's README."""
