"""Path integration by place cells under geometric regularisers, and where these put weights."""
