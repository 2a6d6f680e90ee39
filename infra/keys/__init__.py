"""Keys of personal data: data keys, the master keys that wrap them, and how they end."""
