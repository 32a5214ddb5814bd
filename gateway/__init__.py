"""Who asks, and how? The command line."""
