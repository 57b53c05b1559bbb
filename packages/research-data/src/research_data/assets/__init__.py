"""The assets folder: what is whole in it, under which names, and how it leaves and comes."""
