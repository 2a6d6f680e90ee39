"""Privacy: erasure, holds, the person's rights, four eyes, and who looked at what."""
