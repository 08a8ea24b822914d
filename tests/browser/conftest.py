"""Pages in a real browser."""

from playwright.sync_api import expect

# Whatever is waited for comes at once on a machine of its own; two cores carry other tests beside these.
expect.set_options(timeout=20_000)
