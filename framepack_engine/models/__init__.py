"""Models on disk and in memory: catalog, download, weights, precision."""
