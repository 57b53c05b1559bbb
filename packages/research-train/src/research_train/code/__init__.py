"""The code behind a run: find the files it uses, fingerprint them, and archive them."""
