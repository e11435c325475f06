"""Real mail over the store: delivery in (to a Maildir inbox), submission in (to the outbox), delivery out to a
smarthost.

Rooms, from the bottom up: `sanitary` (what may stand in a line), `trace` (the lines a server puts above a message),
`inbox` (the Maildir), `bounce` (reports of what could not be delivered), `users` (names and hashed passwords),
`config` (the settings, checked), `gate` (how many, how often), `intake` (one message coming in), `hooks` and `smtp`
(the two ports), `smarthost` (the way out), `server` (all of it over one store), `control` (asking a running store
from another process), and for trying it out `samples` (messages of many kinds) and `sink` (a server that takes
everything).

Only this package imports aiosmtpd and aiosmtplib (the extra `mail`), and only `smtp`, `hooks` and `smarthost` do;
nothing of it is loaded until it is asked for.  It knows the store by its asyncio face, and no machine.
"""
