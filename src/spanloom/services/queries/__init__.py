"""The questions of QueryService, a module for each; `bounded`, `cursors` and `pages` serve every
native service."""
