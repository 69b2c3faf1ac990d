"""autolabel inside other tools: one file each, which the tool loads."""
