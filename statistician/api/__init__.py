"""What clients may ask the statistician: a verb, its parameters, its answer."""
