"""Where the farm is put together: command line, local start, Serve app."""
