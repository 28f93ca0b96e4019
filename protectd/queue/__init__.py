"""How a task reaches whoever does it."""

import warnings

# A library below oslo.messaging imports eventlet; nothing here uses it, so its advice is for someone else.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
