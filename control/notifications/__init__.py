"""Alerts to where people are: mail, Telegram, Discord, Slack, webhooks (apprise).

An alert that is stored brings a delivery for each target its rule names (`outbox`), in the same transaction; a job
delivers what is due and tries again what failed (`delivering`). `addresses` says what an address may be.
"""
