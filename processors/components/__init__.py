"""What every process of the system says of itself once a second, and what it can be told to do."""
