"""2026-11-24: does AdamW's weight decay help a network that can memorise noisy labels?"""
