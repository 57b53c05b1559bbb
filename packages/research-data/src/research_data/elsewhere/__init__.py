"""Files kept at an address of fsspec: a bucket, a server, a mounted folder; hashed on both ends."""
