"""Many documents at once: out as NDJSON with a manifest, in line by line; constant memory, resumable at any point."""
