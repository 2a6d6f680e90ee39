"""Files taken in by `crm import`: their rows, and the mapping that makes events of them."""
