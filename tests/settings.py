"""The project's settings for a test run: a private folder, and nothing from the shell or from `.env`.

With no addresses given, cache, broker and database are the defaults in that folder; whoever needs a server asks for its
fixture (see conftest.py).
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_FEED = ("MASSIVE_", "POLYGON_", "LISTENER_", "RECORDINGS_", "MESSAGE_", "BATCH_")
_SERVERS = ("CELERY_", "REDIS_", "DATABASE_", "EMAIL_URL", "DEFAULT_FROM_")
_WEB = ("SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "CSRF_", "WDS_", "TRUSTED_", "HTTPS", "HSTS_", "LOG_", "TAPEWATCH_")
_PEOPLE = ("OIDC_", "REQUIRE_MFA")
for _name in [name for name in os.environ if name.startswith((*_FEED, *_SERVERS, *_WEB, *_PEOPLE))]:
    del os.environ[_name]

_RUN_DIR = Path(tempfile.mkdtemp(prefix="tapewatch-"))
(_RUN_DIR / "static").mkdir()  # WhiteNoise warns of each test without it
atexit.register(shutil.rmtree, _RUN_DIR, ignore_errors=True)
os.environ["TAPEWATCH_RUN_DIR"] = str(_RUN_DIR)
os.environ["TAPEWATCH_ENV_FILE"] = str(_RUN_DIR / ".env")
os.environ["SECRET_KEY"] = "only-for-tests-" + "0123456789" * 4

# Loading the project makes its Celery application, which asks for Django's settings while these are not complete yet;
# and what tests start as processes of their own is to run with the real ones.
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"

from project.settings import *  # noqa: E402, F403 - the environment had to come first
from project.settings import DATABASES  # noqa: E402

# A file, not memory: threads and event loops see one database.
DATABASES["default"]["TEST"] = {"NAME": str(_RUN_DIR / "test.sqlite3")}
# Argon2 is slow on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
