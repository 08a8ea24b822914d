"""What the processors keep for good: the volume of past days by the minute."""

from django.db import models


class VolumeProfileDay(models.Model):
    """Shares traded in each minute of a day, by symbol (`volume_profile.DayVolumes`), of one kind of source.

    Simulated volumes say nothing of real ones, so kinds never mix.
    """

    kind = models.CharField(max_length=16)
    day = models.PositiveIntegerField(help_text="The trading day as yyyymmdd.")
    # Up to which market time, epoch milliseconds.
    until = models.BigIntegerField()
    symbols = models.PositiveIntegerField()
    volumes = models.BinaryField()

    class Meta:
        ordering = ("kind", "-day")
        constraints = (models.UniqueConstraint(fields=("kind", "day"), name="one_profile_a_day"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.day}: {self.symbols} symbols"
