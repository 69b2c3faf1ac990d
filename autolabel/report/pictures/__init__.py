"""Pictures of labels: drawing, what a page shows of a layer, and how many bytes that may take."""
