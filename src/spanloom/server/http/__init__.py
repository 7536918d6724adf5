"""HTTP: routes, and REST by the annotations of the contract."""
