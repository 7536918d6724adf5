"""The one reader of GenAI message dialects, and prices."""
