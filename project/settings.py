"""Settings, in the order of an event's way: feed, listener, broker, processors, cache, web, people, logs.

Every value from outside comes through `env`; nothing else in the project reads the environment.
"""

from pathlib import Path
from typing import Any

import environ
from django.urls import reverse_lazy

from project import env
from project.logs import logging_config

BASE_DIR = env.BASE_DIR
env.load_dotenv(Path(env.text("TAPEWATCH_ENV_FILE", str(BASE_DIR / ".env"))))

VERSION = "0.1.0"
DEBUG = env.flag("DEBUG", default=False)
# What the running system writes: the embedded Valkey's socket and files, SQLite. Private to its owner.
RUN_DIR = Path(env.text("TAPEWATCH_RUN_DIR", str(BASE_DIR / "var"))).resolve()

# 1. The feed: Massive, or the simulator when there is no key ---------------------------------------------------------
MASSIVE_API_KEY = env.text("MASSIVE_API_KEY") or env.text("POLYGON_API_KEY")
SIMULATOR_KEY = "simulator"
SIMULATOR_HOST_PORT = "127.0.0.1:8765"
MASSIVE_FEED = env.text("MASSIVE_FEED", "real-time" if MASSIVE_API_KEY else SIMULATOR_HOST_PORT)
MASSIVE_MARKET = env.choice("MASSIVE_MARKET", "stocks", ("stocks", "options", "indices", "crypto", "forex", "futures"))
MASSIVE_SUBSCRIPTIONS = env.subscriptions("MASSIVE_SUBSCRIPTIONS")  # none: the usual ones of the market
MASSIVE_SECURE = env.flag("MASSIVE_SECURE", default=bool(MASSIVE_API_KEY))
MASSIVE_REST_URL = env.url("MASSIVE_REST_URL", "", ("http", "https"), "https://api.massive.com")
# What the key's plan bears: the free one 5, unlimited ones some 50 a second. A server on this machine is asked freely.
MASSIVE_REST_CALLS_A_MINUTE = env.integer("MASSIVE_REST_CALLS_A_MINUTE", 3_000, 1, 60_000)
# Where halts are listed; none: at Nasdaq Trader's for the live market, on the simulator's own server for the simulator.
TRADE_HALTS_URL = env.url(
    "TRADE_HALTS_URL", "", ("http", "https"), "https://www.nasdaqtrader.com/rss.aspx?feed=tradehalts, or off", ("off",)
)

# 2. The listener: buffer and batches ---------------------------------------------------------------------------------
MESSAGE_TTL_MS = env.integer("MESSAGE_TTL_MS", 5_000, 100, 600_000)
BATCH_MAX_EVENTS = env.integer("BATCH_MAX_EVENTS", 8_000, 1, 100_000)
BATCH_MAX_AGE_MS = env.integer("BATCH_MAX_AGE_MS", 50, 0, 10_000)
LISTENER_BUFFER_MB = env.integer("LISTENER_BUFFER_MB", 64, 1, 65_536)
RECORDINGS_DIR = Path(env.text("TAPEWATCH_RECORDINGS", str(RUN_DIR / "recordings"))).resolve()
RECORDINGS_MAX_GB = env.integer("RECORDINGS_MAX_GB", 50, 1, 1_000_000)
RECORDINGS_MAX_DAYS = env.integer("RECORDINGS_MAX_DAYS", 30, 1, 36_500)

# 3. Cache and broker: Redis or Valkey, RabbitMQ; both embedded when no address is given ------------------------------
VALKEY_SOCKET = RUN_DIR / "valkey.sock"
# `up` starts a Valkey of its own when it is not told of another.
EMBEDDED_VALKEY = not env.text("REDIS_URL")
REDIS_URL = env.url("REDIS_URL", f"unix://{VALKEY_SOCKET}", ("redis", "rediss", "unix"), "redis://127.0.0.1:6379/0")
CELERY_BROKER_URL = env.url(
    "CELERY_BROKER_URL",
    # kombu spells a socket's address differently from the Redis client.
    REDIS_URL.replace("unix://", "redis+socket://", 1),
    ("amqp", "amqps", "pyamqp", "redis", "rediss", "redis+socket"),
    "amqp://user:password@127.0.0.1:5672//",
)
BROKER_IS_REDIS = CELERY_BROKER_URL.startswith("redis")

# 4. The database: what people change, and the history ----------------------------------------------------------------
DATABASE_URL = env.url(
    "DATABASE_URL",
    f"sqlite:///{RUN_DIR / 'tapewatch.sqlite3'}",
    ("sqlite", "postgres", "postgresql", "mysql", "psql", "pgsql"),
    "postgres://user:password@127.0.0.1:5432/tapewatch",
)
DATABASES: dict[str, dict[str, Any]] = {"default": environ.Env.db_url_config(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # With Django's defaults six writers met "database is locked" 1,855 times; with these, never.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
        # The engine and the pages would wait minutes for a host that is gone.
        DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "django",
    }
}

# 5. The web: pages, API and sockets ----------------------------------------------------------------------------------
SECRET_KEY = env.secret_key("SECRET_KEY")
# Former keys: what they signed and encrypted can still be read.
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
WDS_URL = env.url("WDS_URL", "", ("ws", "wss"), "wss://scanner.example.com/ws")
# What one process bears, and how much of it one person, one address and one socket may take; see
# widgets/visitors/limits.py.
WDS_SOCKETS = env.integer("WDS_SOCKETS", 10_000, 1, 1_000_000)
WDS_SOCKETS_PER_USER = env.integer("WDS_SOCKETS_PER_USER", 100, 1, 1_000_000)
WDS_SOCKETS_PER_ADDRESS = env.integer("WDS_SOCKETS_PER_ADDRESS", 1_000, 1, 1_000_000)
WDS_SUBSCRIPTIONS_PER_SOCKET = env.integer("WDS_SUBSCRIPTIONS_PER_SOCKET", 1_000, 1, 100_000)
WDS_REQUESTS_PER_SECOND = env.integer("WDS_REQUESTS_PER_SECOND", 100, 1, 100_000)
# A page that comes back subscribes to all of its feeds at once.
WDS_REQUESTS_BURST = 20 * WDS_REQUESTS_PER_SECOND
WDS_BACKLOG_MB = env.integer("WDS_BACKLOG_MB", 8, 1, 1_024)
WDS_STALL_SECONDS = env.integer("WDS_STALL_SECONDS", 30, 1, 3_600)
WDS_AUTH_SECONDS = env.integer("WDS_AUTH_SECONDS", 10, 1, 3_600)
# How many proxies stand before us: whose entry of X-Forwarded-For, counted from the right, is the client. None: the
# header is anybody's word, and is not read.
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0, 0, 10)
# Logins and calls of the API that are tried too often are counted by the same address.
ALLAUTH_TRUSTED_PROXY_COUNT = NINJA_NUM_PROXIES = TRUSTED_PROXIES
# Behind a proxy that speaks TLS for us, cookies and redirects are for https alone.
HTTPS = env.flag("HTTPS", default=False)
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"

INSTALLED_APPS = [
    "daphne",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "django_vite",
    "ninja",  # its pages of the API come from here, not from a CDN
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "csp",
    "project",
    "listener",
    "processors",
    "widgets",
    "control",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "control.api.problems.ProblemMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the apps' own: allauth's account pages wear our dress.
        "DIRS": [BASE_DIR / "control" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT = RUN_DIR / "static"
# The finders serve the built front end as it lies; nothing has to be collected on a laptop.
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
DJANGO_VITE = {
    "default": {
        "dev_mode": False,
        "static_url_prefix": "dashboard",
        "manifest_path": BASE_DIR / "widgets" / "static" / "dashboard" / "manifest.json",
    }
}

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
# Whose subdomains speak TLS too, and whether browsers ship with that knowledge, is for the domain's owner to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# 6. People -----------------------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
ACCOUNT_ADAPTER = "control.accounts.ClosedSignupAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "account_login"
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "tapewatch@localhost")
EMAIL_URL = env.url("EMAIL_URL", "", tuple(environ.Env.EMAIL_SCHEMES), "smtp+tls://user:password@mail.example.com:587")
if EMAIL_URL:
    vars().update(environ.Env.email_url_config(EMAIL_URL))
else:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

UNFOLD = {
    "SITE_TITLE": "Tapewatch",
    "SITE_HEADER": "Tapewatch",
    "SITE_URL": "/",
    "SITE_DROPDOWN": [
        {"icon": "monitoring", "title": "Dashboard", "link": reverse_lazy("dashboard")},
        {"icon": "lan", "title": "Who is connected", "link": reverse_lazy("who_is_connected")},
    ],
}

# Times are kept in UTC and shown in New York's, the market's own.
USE_TZ = True
TIME_ZONE = "America/New_York"
LANGUAGE_CODE = "en-us"
USE_I18N = False

# 7. Logs -------------------------------------------------------------------------------------------------------------
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOG_FORMAT = env.choice("LOG_FORMAT", "console", ("console", "json"))
LOGGING = logging_config(LOG_LEVEL, LOG_FORMAT)
