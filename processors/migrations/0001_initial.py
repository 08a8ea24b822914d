from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="VolumeProfileDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=16)),
                ("day", models.PositiveIntegerField(help_text="The trading day as yyyymmdd.")),
                ("until", models.BigIntegerField()),
                ("symbols", models.PositiveIntegerField()),
                ("volumes", models.BinaryField()),
            ],
            options={
                "ordering": ("kind", "-day"),
                "constraints": [models.UniqueConstraint(fields=("kind", "day"), name="one_profile_a_day")],
            },
        ),
    ]
