"""One module per noun: the HTTP model, its event, the route."""
