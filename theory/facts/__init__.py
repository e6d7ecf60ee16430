"""What an asymptotic theorist asks of an activation: exact answers, each with its reason and its standing."""
