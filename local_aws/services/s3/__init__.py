"""S3: moto, with the bytes on disk."""
