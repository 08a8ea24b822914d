"""What the feed did not bring: the missed part of the day over REST, and the volume of the days before."""
