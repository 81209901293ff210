"""What every room shares: errors, the registry, samples, records, distributed helpers, randomness, periods."""
