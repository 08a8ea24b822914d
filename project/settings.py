"""Settings, in the order of an event's way: feed, listener, broker, processors, cache, web, people, logs.

Every value from outside comes through `env`; nothing else in the project reads the environment.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from csp.constants import NONCE, NONE, SELF
from django.templatetags.static import static
from django.urls import reverse_lazy

from project import env
from project.logs import logging_config
from project.redaction import secrets_in

BASE_DIR = env.BASE_DIR
env.load_dotenv(Path(env.text("TAPEWATCH_ENV_FILE", str(BASE_DIR / ".env"))))

VERSION = "0.1.0"
DEBUG = env.flag("DEBUG", default=False)
# What the running system writes: the embedded Valkey's socket and files, SQLite. Private to its owner.
RUN_DIR = Path(env.text("TAPEWATCH_RUN_DIR", str(BASE_DIR / "var"))).resolve()
# What `up` calls this process; empty for one that was started otherwise.
PART = env.text("TAPEWATCH_PART")

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
        "BACKEND": "project.cache.SharedOrOwnCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "django",
        "OPTIONS": {"socket_timeout": 5, "socket_connect_timeout": 2},
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
# How often one token, or one login, may call the API.
API_CALLS_A_MINUTE = env.integer("API_CALLS_A_MINUTE", 1_200, 1, 10_000_000)
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
    "project.request_context.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "control.safety.HeadersMiddleware",
    "control.safety.ContentSecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "control.logins.LastSeenMiddleware",
    "control.safety.SecondFactorMiddleware",
    "control.api.problems.ProblemMiddleware",
    "control.api.headers.ApiHeadersMiddleware",
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
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("HSTS_SUBDOMAINS", default=False)
# Whose subdomains speak TLS too, and whether browsers ship with that knowledge, is for the domain's owner to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
_OIDC_ISSUER = env.url("OIDC_ISSUER", "", ("http", "https"), "https://login.example.com/realms/desk")
# What pages may load and run: our own files. The admin's few additions stand in control/safety.py.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        # The grids' styles are made in the browser, with the page's nonce.
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "media-src": [SELF],
        "connect-src": [SELF, *(["{0.scheme}://{0.netloc}".format(urlsplit(WDS_URL))] if WDS_URL else [])],
        "manifest-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # A form that leads on to single sign-on is a form that goes there.
        "form-action": [SELF, *(["{0.scheme}://{0.netloc}".format(urlsplit(_OIDC_ISSUER))] if _OIDC_ISSUER else [])],
        **({"upgrade-insecure-requests": True} if HTTPS else {}),
    }
}

# Whether alerts may be sent to hosts in private networks, such as a mail server of one's own.
NOTIFY_PRIVATE = env.flag("NOTIFY_PRIVATE", default=False)

# Days that entries of the audit log are kept (processors.jobs.forget_audit).
AUDIT_DAYS = env.integer("AUDIT_DAYS", 400, 1, 36_500)

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
ACCOUNT_ADAPTER = "control.accounts.AccountAdapter"
ACCOUNT_FORMS = {"login": "control.account_pages.LoginForm"}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
# Strangers are sent no mail: whether an account exists is not told either way.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Tapewatch: "
# Passwords are counted by control/lockout.py, codes and keys by these; without one for pages, so that whoever runs the
# system gets in while the cache is away.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": "10/m/ip,5/5m/key"}
ACCOUNT_REAUTHENTICATION_REQUIRED = True
MFA_ADAPTER = "control.accounts.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Tapewatch"
# Half a minute on either side: phones' clocks are off.
MFA_TOTP_TOLERANCE = 1
# An administrator vouches for the mail address of an account.
MFA_ALLOW_UNVERIFIED_EMAIL = True
USERSESSIONS_TRACK_ACTIVITY = True
# Whether whoever has the admin has to have a second factor.
REQUIRE_MFA = env.flag("REQUIRE_MFA", default=False)
# Single sign-on (OpenID Connect), when an issuer is named.
OIDC_ISSUER = _OIDC_ISSUER
OIDC_NAME = env.text("OIDC_NAME", "Single sign-on")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET")
# Whether somebody unknown gets an account, which reads nothing unless his groups say so.
OIDC_SIGNUP = env.flag("OIDC_SIGNUP", default=False)
# The roles of its groups, such as traders=trader,ops=operator; where there are some, each login sets them anew.
OIDC_ROLES = env.pairs("OIDC_ROLES", ("viewer", "trader", "operator", "administrator"))
OIDC_GROUPS_CLAIM = env.text("OIDC_GROUPS_CLAIM", "groups")
SOCIALACCOUNT_ADAPTER = "control.accounts.SingleSignOn"
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_OPENID_CONNECT_URL_PREFIX = ""
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": []}}
if OIDC_ISSUER:
    SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"] = [
        {
            "provider_id": "oidc",
            "name": OIDC_NAME,
            "client_id": OIDC_CLIENT_ID,
            "secret": OIDC_CLIENT_SECRET,
            "settings": {"server_url": OIDC_ISSUER},
        }
    ]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "account_login"
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "tapewatch@localhost")
EMAIL_URL = env.url("EMAIL_URL", "", tuple(environ.Env.EMAIL_SCHEMES), "smtp+tls://user:password@mail.example.com:587")
if EMAIL_URL:
    vars().update(environ.Env.email_url_config(EMAIL_URL))
else:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
EMAIL_TIMEOUT = 10

UNFOLD = {
    "SITE_TITLE": "Tapewatch",
    "SITE_HEADER": "Tapewatch",
    "SITE_URL": "/",
    "SITE_ICON": lambda request: static("control/favicon.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("control/favicon.svg")},
    ],
    "SITE_DROPDOWN": [{"icon": "monitoring", "title": "Dashboard", "link": reverse_lazy("dashboard")}],
    "STYLES": [lambda request: static("control/admin.css")],
    "SIDEBAR": {"navigation": "control.admin.navigation.sidebar"},
    "ACCOUNT": {"navigation": [{"title": "Your account", "link": reverse_lazy("account")}]},
    "DASHBOARD_CALLBACK": "control.admin.navigation.first_page",
    # The dashboard's blues; see control/static/control/theme.css.
    "COLORS": {
        "base": {
            "50": "#f4f6f9",
            "100": "#e9edf2",
            "200": "#d7dee8",
            "300": "#b9c3d1",
            "400": "#8c98ab",
            "500": "#5b687b",
            "600": "#46536a",
            "700": "#2e3a4d",
            "800": "#222a37",
            "900": "#10141b",
            "950": "#0a0d12",
        },
        "primary": {
            "50": "#eef5ff",
            "100": "#dceaff",
            "200": "#bfd8ff",
            "300": "#93bfff",
            "400": "#75b0ff",
            "500": "#5aa2ff",
            "600": "#1565d8",
            "700": "#1254b5",
            "800": "#11448f",
            "900": "#123a74",
            "950": "#0c2347",
        },
    },
}

# Times are kept in UTC and shown in New York's, the market's own.
USE_TZ = True
TIME_ZONE = "America/New_York"
LANGUAGE_CODE = "en-us"
USE_I18N = False

# 7. Logs -------------------------------------------------------------------------------------------------------------
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOG_FORMAT = env.choice("LOG_FORMAT", "console", ("console", "json"))
LOGGING = logging_config(LOG_LEVEL, LOG_FORMAT, secrets_in(globals()))
# Where traces are sent (OTLP over HTTP), such as a collector's port 4318; none: there are none.
OTEL_EXPORTER_OTLP_ENDPOINT = env.url("OTEL_EXPORTER_OTLP_ENDPOINT", "", ("http", "https"), "http://127.0.0.1:4318")
