"""Questions about a whole chart."""
