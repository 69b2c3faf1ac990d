"""Labels and students against hand labels: COCO's AP, precision and recall, and how sure they are.

Pure figures: objects in, one typed result out. Nothing here reads a workspace or runs a model.
"""
