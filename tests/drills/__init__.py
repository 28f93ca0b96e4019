"""Real processes over real servers, disturbed in every way that can be arranged, and then counted."""
